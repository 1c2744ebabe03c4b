// Short words for what the boards' definition blocks say often.
#pragma once

#include "machine/acpi/aml.h"

namespace rhea::machine::acpi {

inline aml::Term hid(std::string_view id) {
  return aml::name("_HID", aml::eisa_id(id));
}
inline aml::Term crs(const aml::Terms& descriptors) {
  return aml::name("_CRS", aml::resources(descriptors));
}
inline aml::Term status(unsigned value) {
  return aml::name("_STA", aml::integer(value));
}

inline constexpr unsigned kPciSlots = 32, kPciPins = 4;
inline constexpr unsigned kPresentEnabled = 0x0b, kPresentDisabled = 0x09;

// The methods that the links share: IQST and IQCR give a PIRQ register's state and interrupt.
aml::Terms link_methods();
// One interrupt link through the PIRQ register at the path `reg`, which holds the ISA interrupt; bit 7 set
// means unrouted.
aml::Term isa_link(std::string_view at, unsigned uid, const std::string& reg);
// A link that is wired to one interrupt.
aml::Term fixed_link(std::string_view at, unsigned uid, uint32_t gsi);

}  // namespace rhea::machine::acpi
