// New qcow2 images, and how large they get.
#pragma once

#include <optional>
#include <string_view>

#include "block/driver.h"

namespace rhea::block::qcow2 {

Result<> create_image(const FormatDriver& driver, const CreateRequest& request);
Result<Measurement> measure_image(const MeasureRequest& request);

// What the options say, for all who read them. Null: no such version.
std::optional<uint32_t> parse_version(std::string_view word);
Result<unsigned> parse_cluster_bits(const CreateValues& values);
Result<unsigned> parse_refcount_order(const CreateValues& values);

}  // namespace rhea::block::qcow2
