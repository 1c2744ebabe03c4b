#include "machine/pc/machine_types.h"

namespace rhea::machine {

namespace {

constexpr Chipset kPc = Chipset::I440fx, kQ35 = Chipset::Q35;

constexpr MachineType kTypes[] = {
    {"pc-i440fx-7.2", "pc", kPc, false, true},
    {"pc-i440fx-7.1", "", kPc},
    {"pc-i440fx-7.0", "", kPc},
    {"pc-i440fx-6.2", "", kPc},
    {"pc-i440fx-6.1", "", kPc},
    {"pc-i440fx-6.0", "", kPc},
    {"pc-i440fx-5.2", "", kPc},
    {"pc-i440fx-5.1", "", kPc},
    {"pc-i440fx-5.0", "", kPc},
    {"pc-i440fx-4.2", "", kPc},
    {"pc-i440fx-4.1", "", kPc},
    {"pc-i440fx-4.0", "", kPc},
    {"pc-i440fx-3.1", "", kPc},
    {"pc-i440fx-3.0", "", kPc},
    {"pc-i440fx-2.9", "", kPc},
    {"pc-i440fx-2.8", "", kPc},
    {"pc-i440fx-2.7", "", kPc},
    {"pc-i440fx-2.6", "", kPc},
    {"pc-i440fx-2.5", "", kPc},
    {"pc-i440fx-2.4", "", kPc},
    {"pc-i440fx-2.3", "", kPc},
    {"pc-i440fx-2.2", "", kPc},
    {"pc-i440fx-2.12", "", kPc},
    {"pc-i440fx-2.11", "", kPc},
    {"pc-i440fx-2.10", "", kPc},
    {"pc-i440fx-2.1", "", kPc},
    {"pc-i440fx-2.0", "", kPc},
    {"pc-i440fx-1.7", "", kPc, true},
    {"pc-i440fx-1.6", "", kPc, true},
    {"pc-i440fx-1.5", "", kPc, true},
    {"pc-i440fx-1.4", "", kPc, true},
    {"pc-q35-7.2", "q35", kQ35},
    {"pc-q35-7.1", "", kQ35},
    {"pc-q35-7.0", "", kQ35},
    {"pc-q35-6.2", "", kQ35},
    {"pc-q35-6.1", "", kQ35},
    {"pc-q35-6.0", "", kQ35},
    {"pc-q35-5.2", "", kQ35},
    {"pc-q35-5.1", "", kQ35},
    {"pc-q35-5.0", "", kQ35},
    {"pc-q35-4.2", "", kQ35},
    {"pc-q35-4.1", "", kQ35},
    {"pc-q35-4.0.1", "", kQ35},
    {"pc-q35-4.0", "", kQ35},
    {"pc-q35-3.1", "", kQ35},
    {"pc-q35-3.0", "", kQ35},
    {"pc-q35-2.9", "", kQ35},
    {"pc-q35-2.8", "", kQ35},
    {"pc-q35-2.7", "", kQ35},
    {"pc-q35-2.6", "", kQ35},
    {"pc-q35-2.5", "", kQ35},
    {"pc-q35-2.4", "", kQ35},
    {"pc-q35-2.12", "", kQ35},
    {"pc-q35-2.11", "", kQ35},
    {"pc-q35-2.10", "", kQ35},
    {"isapc", "", Chipset::None},
    {"none", "", Chipset::None},
};

}  // namespace

std::string_view MachineType::text() const {
  switch (chipset) {
    case Chipset::I440fx: return "Standard PC (i440FX + PIIX, 1996)";
    case Chipset::Q35: return "Standard PC (Q35 + ICH9, 2009)";
    default: return is_empty() ? "empty machine" : "ISA-only PC";
  }
}

std::string_view MachineType::family() const {
  switch (chipset) {
    case Chipset::I440fx: return "pc";
    case Chipset::Q35: return "q35";
    default: return "isapc";
  }
}

std::span<const MachineType> machine_types() {
  return kTypes;
}

const MachineType* find_machine_type(std::string_view name) {
  if (name.empty()) return nullptr;
  for (const MachineType& type : kTypes) {
    if (type.name == name || type.alias == name) return &type;
  }
  return nullptr;
}

}  // namespace rhea::machine
