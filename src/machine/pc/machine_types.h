// The machines that -machine can name, with the versioned names of QEMU up to 7.2. A version changes nothing:
// its names are aliases, so that command lines of other tools work.
//
// Threading: constant tables.
#pragma once

#include <span>
#include <string_view>

namespace rhea::machine {

enum class Chipset { I440fx, Q35, None };

struct MachineType {
  std::string_view name;   // "pc-i440fx-7.2"
  std::string_view alias;  // "pc"; empty: none
  Chipset chipset;
  bool deprecated = false;
  bool is_default = false;

  std::string_view text() const;    // "Standard PC (i440FX + PIIX, 1996)"
  std::string_view family() const;  // "pc", "q35" or "isapc"
  // For programs that only want to ask: an isapc that never runs.
  bool is_empty() const { return name == "none"; }
  bool has_pci() const { return chipset != Chipset::None; }
};

std::span<const MachineType> machine_types();
// By name or alias. Null: none.
const MachineType* find_machine_type(std::string_view name);

}  // namespace rhea::machine
