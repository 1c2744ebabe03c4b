// PCI interrupt links. ACPI 6.4, 6.2.13 (_PRT) and chapter 6.2's _CRS, _PRS, _SRS, _DIS of PNP0C0F.
#include <string>

#include "machine/acpi/terms.h"

namespace rhea::machine::acpi {

using namespace aml;  // NOLINT: the whole file is written in it

Terms link_methods() {
  return {method("IQST", 1,
                 {if_(bit_and(arg(0), integer(0x80)), {return_(integer(kPresentDisabled))}),
                  return_(integer(kPresentEnabled))}),
          method("IQCR", 1,
                 {name("PRR0", resources({interrupt_level_high_shared({0})})),
                  create_dword_field(path("PRR0"), integer(5), "PRRI"),
                  if_(less(arg(0), integer(0x80)), {store(arg(0), path("PRRI"))}), return_(path("PRR0"))},
                 true)};
}

Term isa_link(std::string_view at, unsigned uid, const std::string& reg) {
  return device(
      at,
      {hid("PNP0C0F"), name("_UID", integer(uid)),
       name("_PRS", resources({interrupt_level_high_shared({5, 10, 11})})),
       method("_STA", 0, {return_(call("IQST", {path(reg)}))}),
       method("_DIS", 0, {bit_or(path(reg), integer(0x80), path(reg))}),
       method("_CRS", 0, {return_(call("IQCR", {path(reg)}))}),
       method("_SRS", 1, {create_dword_field(arg(0), integer(5), "PRRI"), store(path("PRRI"), path(reg))})});
}

Term fixed_link(std::string_view at, unsigned uid, uint32_t gsi) {
  Term only = resources({interrupt_level_high_shared({gsi})});
  return device(at, {hid("PNP0C0F"), name("_UID", integer(uid)), status(kPresentEnabled), name("_PRS", only),
                     name("_CRS", only), method("_DIS", 0, {}), method("_SRS", 1, {})});
}

}  // namespace rhea::machine::acpi
