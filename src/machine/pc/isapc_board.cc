// See isapc_board.h.
#include "machine/pc/isapc_board.h"

namespace rhea::machine {

IsaPcBoard::IsaPcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory)
    : PcBoard(config, wiring, std::move(memory)),
      ide_{{isa_irq(14), "/isa/ide@1f0/drive@0"}, {isa_irq(15), "/isa/ide@170/drive@0"}} {}

Result<> IsaPcBoard::add_chipset() {
  for (Ide& ide : ide_) add(ide);
  site().tree().add_bus("ide.0", ide_[0].channel);
  site().tree().add_bus("ide.1", ide_[1].channel);
  return map_ports(std::initializer_list<PortRange>{
      {0x1f0, devices::IdeChannel::kCommandBytes, ide_[0].channel.command_block()},
      {0x3f6, devices::IdeChannel::kControlBytes, ide_[0].channel.control_block()},
      {0x170, devices::IdeChannel::kCommandBytes, ide_[1].channel.command_block()},
      {0x376, devices::IdeChannel::kControlBytes, ide_[1].channel.control_block()},
  });
}

// There are no registers for the attributes of the BIOS area: shadow memory that firmware copies itself to is
// always RAM.
void IsaPcBoard::reset() {
  PcBoard::reset();
  pc_memory().pam_changed(0xc0000, 0x30000, true, true);
  pc_memory().pam_changed(0xf0000, 0x10000, true, true);
  pc_memory().shadow_firmware();
}

}  // namespace rhea::machine
