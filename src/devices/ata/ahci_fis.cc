// What an AHCI port writes into guest memory: data, by the command's region descriptors, and FISes.
// AHCI 1.3.1, 4.2; Serial ATA 3.0, 10.3.
#include <algorithm>

#include "devices/ata/ahci_port.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {

using namespace ahci;

namespace {

// 4.2.3.3: byte count less one, in the entry's last dword.
constexpr uint32_t kRegionBytes = 0x3fffff;
constexpr size_t kD2hBytes = 20, kPioSetupBytes = 20;

void put_registers(std::span<uint8_t> fis, const AtaTaskFile& task) {
  fis[4] = task.now.lba_low;
  fis[5] = task.now.lba_mid;
  fis[6] = task.now.lba_high;
  fis[7] = task.device;
  fis[8] = task.before.lba_low;
  fis[9] = task.before.lba_mid;
  fis[10] = task.before.lba_high;
  fis[12] = task.now.count;
  fis[13] = task.before.count;
}

}  // namespace

bool AhciPort::next_region(Regions& regions) {
  if (regions.next >= regions.count) return false;
  uint8_t entry[kPrdBytes];
  if (!wiring_.ram.read(regions.table + uint64_t{regions.next} * kPrdBytes, entry)) return false;
  ++regions.next;
  regions.address = load_le<uint64_t>(entry) & ~uint64_t{1};
  regions.left = (load_le<uint32_t>(entry + 12) & kRegionBytes) + 1;
  return true;
}

size_t AhciPort::move(Slot& slot, bool to_guest, std::span<uint8_t> data) {
  Regions& regions = slot.regions;
  size_t done = 0;
  while (done < data.size() && !regions.broken) {
    if (regions.left == 0 && !next_region(regions)) break;
    const size_t n = std::min<size_t>(data.size() - done, regions.left);
    const auto part = data.subspan(done, n);
    const bool ok =
        to_guest ? wiring_.ram.write(regions.address, part) : wiring_.ram.read(regions.address, part);
    if (!ok) {
      regions.broken = true;
      break;
    }
    regions.address += n;
    regions.left -= static_cast<uint32_t>(n);
    done += n;
  }
  slot.moved += done;
  if (done < data.size()) raise(regions.broken ? kIntHostBus : kIntOverflow);
  return done;
}

void AhciPort::post(unsigned at, std::span<const uint8_t> fis) {
  if ((command_ & kFisRunning) == 0) return;
  static_cast<void>(wiring_.ram.write(fis_base() + at, fis));
}

void AhciPort::post_d2h() {
  if (unit_ == nullptr) return;
  const AtaTaskFile& task = unit_->task();
  std::array<uint8_t, kD2hBytes> fis{};
  fis[0] = kFisD2h;
  fis[1] = kFisInterrupt;
  fis[2] = task.status;
  fis[3] = task.error;
  put_registers(fis, task);
  post(kReceiveD2h, fis);
}

void AhciPort::post_pio_setup(bool to_host, size_t bytes, bool interrupt) {
  const AtaTaskFile& task = unit_->task();
  std::array<uint8_t, kPioSetupBytes> fis{};
  fis[0] = kFisPioSetup;
  fis[1] = static_cast<uint8_t>((to_host ? kFisToHost : 0) | (interrupt ? kFisInterrupt : 0));
  fis[2] = task.status;
  fis[3] = task.error;
  put_registers(fis, task);
  fis[15] = ata::kStatusReady | ata::kStatusSeek;  // E_STATUS: what stands once the data are there
  store_le<uint16_t>(fis.data() + 16, static_cast<uint16_t>(bytes));
  post(kReceivePio, fis);
}

}  // namespace rhea::devices
