// See tables.h. Section numbers are ACPI 6.4's.
#include "machine/acpi/tables.h"

#include <initializer_list>

#include "machine/acpi/table_writer.h"

namespace rhea::machine::acpi {
namespace {

constexpr const char* kTablesFile = "etc/acpi/tables";
constexpr const char* kRsdpFile = "etc/acpi/rsdp";

constexpr uint16_t kResetPort = 0xcf9, kSmiCommand = 0xb2;
constexpr uint8_t kResetValue = 0x0f, kRtcCentury = 0x32;

constexpr uint32_t kLocalApic = 0xfee00000, kIoApic = 0xfec00000, kHpet = 0xfed00000;

class Builder {
 public:
  explicit Builder(const Config& config) : config_(config), out_(blobs_.tables) {}

  Blobs build() {
    script_.allocate(kRsdpFile, 16, Zone::FSegment);
    script_.allocate(kTablesFile, 64, Zone::High);
    uint32_t facs_at = facs();
    uint32_t dsdt_at = dsdt();
    fadt(facs_at, dsdt_at);
    madt();
    if (config_.hpet) hpet();
    waet();
    if (config_.q35) mcfg();
    for (const Bytes& table : config_.extra_tables) extra(table);
    uint32_t rsdt_at = root("RSDT", 4);
    uint32_t xsdt_at = root("XSDT", 8);
    rsdp(rsdt_at, xsdt_at);
    blobs_.loader = script_.take();
    return std::move(blobs_);
  }

 private:
  void finish(uint32_t table) {
    out_.end(table);
    script_.add_checksum(kTablesFile, table + kChecksumOffset, table, out_.offset() - table);
  }

  void pointer(uint64_t target, uint8_t size) {
    script_.add_pointer(kTablesFile, kTablesFile, out_.offset(), size);
    if (size == 4) {
      out_.u32(target);
    } else {
      out_.u64(target);
    }
  }

  uint32_t begin_listed(std::string_view signature, uint8_t revision) {
    listed_.push_back(out_.begin(signature, revision));
    return listed_.back();
  }

  // 5.2.10. No header, no checksum; must be aligned to 64 bytes.
  uint32_t facs() {
    out_.align(64);
    uint32_t at = out_.offset();
    out_.text("FACS", 4);
    out_.u32(64);
    out_.zeros(56);
    return at;
  }

  uint32_t dsdt() {
    uint32_t at = out_.begin("DSDT", 1);
    out_.bytes(dsdt_body(config_));
    finish(at);
    return at;
  }

  // 5.2.9, as of revision 3 (ACPI 2.0: 244 bytes).
  void fadt(uint32_t facs_at, uint32_t dsdt_at) {
    uint32_t at = begin_listed("FACP", 3);
    pointer(facs_at, 4);
    pointer(dsdt_at, 4);
    out_.u8(1);  // interrupt model, dual PIC
    out_.u8(0);  // preferred profile: unspecified
    out_.u16(config_.sci);
    out_.u32(kSmiCommand);
    out_.u8(config_.q35 ? 0x02 : 0xf1);  // the APM commands ACPI enable
    out_.u8(config_.q35 ? 0x03 : 0xf0);  // … and disable
    out_.u8(0);                          // S4BIOS
    out_.u8(0);                          // P-state control
    out_.u32(pm_event());
    out_.u32(0);
    out_.u32(pm_control());
    out_.u32(0);
    out_.u32(0);
    out_.u32(pm_timer());
    out_.u32(config_.gpe0);
    out_.u32(0);
    for (unsigned length : {4u, 2u, 0u, 4u, unsigned{config_.gpe0_bytes}, 0u, 0u, 0u})
      out_.u8(length);  // PM1 evt, cnt, PM2, timer, GPE0, GPE1, base, CST
    out_.u16(0xfff);    // C2, C3 latency: unsupported
    out_.u16(0xfff);
    out_.zeros(4);  // flush size and stride: WBINVD works
    out_.zeros(2);  // duty cycle
    out_.zeros(2);  // day, month alarm
    out_.u8(kRtcCentury);
    out_.u16(config_.i8042 ? 3 : 1);  // legacy devices, 8042
    out_.u8(0);
    out_.u32(fadt_flags());
    out_.port_address(kResetPort, 8);
    out_.u8(kResetValue);
    out_.zeros(3);
    pointer(facs_at, 8);
    pointer(dsdt_at, 8);
    out_.port_address(pm_event(), 32);
    out_.zeros(12);
    out_.port_address(pm_control(), 16);
    out_.zeros(12);
    out_.zeros(12);
    out_.port_address(pm_timer(), 32);
    out_.port_address(config_.gpe0, static_cast<uint8_t>(8 * config_.gpe0_bytes));
    out_.zeros(12);
    finish(at);
  }

  uint16_t pm_event() const { return config_.pm_base; }
  uint16_t pm_control() const { return static_cast<uint16_t>(config_.pm_base + 4); }
  uint16_t pm_timer() const { return static_cast<uint16_t>(config_.pm_base + 8); }

  // Table 5.10.
  uint32_t fadt_flags() const {
    constexpr uint32_t kWbinvd = 1, kProcC1 = 1 << 2, kSlpButton = 1 << 5, kRtcS4 = 1 << 7, kTimer32 = 1 << 8,
                       kResetReg = 1 << 10, kPlatformClock = 1 << 15, kApicCluster = 1 << 18;
    uint32_t flags = kWbinvd | kProcC1 | kSlpButton | kRtcS4 | kTimer32 | kResetReg | kPlatformClock;
    if (config_.cpus.size() > 8) flags |= kApicCluster;  // flat logical mode has eight destinations
    return flags;
  }

  // 5.2.12.
  void madt() {
    uint32_t at = begin_listed("APIC", 1);
    out_.u32(kLocalApic);
    out_.u32(1);  // PC-AT compatible: there are 8259s
    bool any_x2apic = false;
    for (size_t i = 0; i < config_.cpus.size(); i++) {
      const CpuEntry& cpu = config_.cpus[i];
      bool wide = cpu.apic_id > 254 || i > 254;
      any_x2apic |= wide;
      if (wide) {
        out_.u8(9);
        out_.u8(16);
        out_.u16(0);
        out_.u32(cpu.apic_id);
        out_.u32(cpu.present);
        out_.u32(i);
      } else {
        out_.u8(0);
        out_.u8(8);
        out_.u8(i);
        out_.u8(cpu.apic_id);
        out_.u32(cpu.present);
      }
    }
    out_.u8(1);  // I/O APIC
    out_.u8(12);
    out_.u8(0);
    out_.u8(0);
    out_.u32(kIoApic);
    out_.u32(0);
    interrupt_override(0, 2, 0);
    for (uint8_t irq : std::initializer_list<uint8_t>{5, 9, 10, 11})
      interrupt_override(irq, irq, 0xd);  // level, active high: the PIRQ links
    local_nmi(any_x2apic);
    finish(at);
  }

  void interrupt_override(uint8_t irq, uint8_t gsi, uint16_t flags) {
    out_.u8(2);
    out_.u8(10);
    out_.u8(0);
    out_.u8(irq);
    out_.u32(gsi);
    out_.u16(flags);
  }

  // NMI at LINT1 of all processors.
  void local_nmi(bool x2apic) {
    if (x2apic) {
      out_.u8(10);
      out_.u8(12);
      out_.u16(0);
      out_.u32(0xffffffff);
      out_.u8(1);
      out_.zeros(3);
    }
    out_.u8(4);
    out_.u8(6);
    out_.u8(0xff);
    out_.u16(0);
    out_.u8(1);
  }

  // IA-PC HPET 1.0a 3.2.4.
  void hpet() {
    uint32_t at = begin_listed("HPET", 1);
    out_.u32(0x8086a201);  // 8086, legacy routing, 64 bit, 3 comparators, revision 1
    out_.u8(0);            // system memory
    out_.u8(0);
    out_.u8(0);
    out_.u8(0);
    out_.u64(kHpet);
    out_.u8(0);
    out_.u16(0);
    out_.u8(0);
    finish(at);
  }

  // Windows ACPI Emulated devices Table: the PM timer is read right the first time.
  void waet() {
    uint32_t at = begin_listed("WAET", 1);
    out_.u32(2);
    finish(at);
  }

  // PCI Firmware 3.0, 4.1.2. Without a window the one entry is for no bus at all.
  void mcfg() {
    uint32_t at = begin_listed("MCFG", 1);
    out_.zeros(8);
    if (config_.mmconfig_size != 0) {
      out_.u64(config_.mmconfig_base);
      out_.u16(0);
      out_.u8(0);
      out_.u8((config_.mmconfig_size >> 20) - 1);
      out_.zeros(4);
    }
    finish(at);
  }

  void extra(const Bytes& table) {
    out_.align(8);
    listed_.push_back(out_.offset());
    out_.bytes(table);
    script_.add_checksum(kTablesFile, listed_.back() + kChecksumOffset, listed_.back(),
                         static_cast<uint32_t>(table.size()));
  }

  uint32_t root(std::string_view signature, uint8_t pointer_size) {
    uint32_t at = out_.begin(signature, 1);
    for (uint32_t table : listed_) pointer(table, pointer_size);
    finish(at);
    return at;
  }

  // 5.2.5.3: the first 20 bytes have their own sum.
  void rsdp(uint32_t rsdt_at, uint32_t xsdt_at) {
    TableWriter rsdp(blobs_.rsdp);
    rsdp.text("RSD PTR ", 8);
    rsdp.u8(0);
    rsdp.text("RHEA", 6);
    rsdp.u8(2);
    rsdp.u32(rsdt_at);
    rsdp.u32(36);
    rsdp.u64(xsdt_at);
    rsdp.zeros(4);
    script_.add_pointer(kRsdpFile, kTablesFile, 16, 4);
    script_.add_pointer(kRsdpFile, kTablesFile, 24, 8);
    script_.add_checksum(kRsdpFile, 8, 0, 20);
    script_.add_checksum(kRsdpFile, 32, 0, 36);
  }

  const Config& config_;
  Blobs blobs_;
  TableWriter out_;
  LoaderScript script_;
  std::vector<uint32_t> listed_;  // offsets of what the root tables point to
};

}  // namespace

Blobs build(const Config& config) {
  return Builder(config).build();
}

}  // namespace rhea::machine::acpi
