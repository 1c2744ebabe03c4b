// New qcow2 images, and how large they get.
#pragma once

#include "block/driver.h"

namespace rhea::block::qcow2 {

Result<> create_image(const FormatDriver& driver, const CreateRequest& request);
Result<Measurement> measure_image(const MeasureRequest& request);

}  // namespace rhea::block::qcow2
