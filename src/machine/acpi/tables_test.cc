#include "machine/acpi/tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace rhea::machine::acpi {
namespace {

Config sample(unsigned cpus) {
  Config c;
  for (unsigned i = 0; i < cpus; i++) c.cpus.push_back({i, i + 1 < cpus || cpus == 1});
  c.low_ram_end = 0x80000000;
  c.pci_window64_base = 0x180000000;
  c.pci_window64_size = 0x80000000;
  c.serial[0] = c.serial[1] = true;
  c.hotplug_buses = {{.bridges = {}, .number = 0, .slots = 0xfffffffc}};
  return c;
}

Config q35_sample(unsigned cpus) {
  Config c = sample(cpus);
  c.q35 = true;
  c.mmconfig_base = 0xb0000000;
  c.mmconfig_size = 0x10000000;
  c.gpe0 = 0x620;
  c.hotplug_port = 0xcc0;
  // A root port, and a bridge behind another that is function 1 of its slot.
  c.hotplug_buses = {{.bridges = {}, .number = {}, .slots = 0},
                     {.bridges = {0x10}, .number = 0, .slots = 1},
                     {.bridges = {0x19}, .number = 1, .slots = 0},
                     {.bridges = {0x19, 0x00}, .number = 2, .slots = 0xfffffffe}};
  c.gpe0_bytes = 16;
  return c;
}

uint32_t le32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

// Plays the loader's part: places the files at made-up addresses and carries out the commands.
struct Firmware {
  std::map<std::string, std::vector<uint8_t>> files;
  std::map<std::string, uint64_t> address;
  std::string problem;

  explicit Firmware(Blobs blobs) {
    files["etc/acpi/tables"] = std::move(blobs.tables);
    files["etc/acpi/rsdp"] = std::move(blobs.rsdp);
    for (size_t at = 0; at + 128 <= blobs.loader.size(); at += 128) run(&blobs.loader[at]);
  }

  void run(const uint8_t* c) {
    std::string file(reinterpret_cast<const char*>(c + 4));
    if (!files.contains(file)) {
      problem = "no file " + file;
      return;
    }
    std::vector<uint8_t>& data = files[file];
    switch (le32(c)) {
      case 1: address[file] = file == "etc/acpi/rsdp" ? 0xf0000 : 0x7ffe0000; return;
      case 2: {
        uint64_t value = 0;
        std::memcpy(&value, &data.at(le32(c + 116)), c[120]);
        value += address.at(reinterpret_cast<const char*>(c + 60));
        std::memcpy(&data.at(le32(c + 116)), &value, c[120]);
        return;
      }
      case 3: {
        uint8_t sum = 0;
        uint8_t& at = data.at(le32(c + 60));
        at = 0;
        for (uint32_t i = 0; i < le32(c + 68); i++)
          sum = static_cast<uint8_t>(sum + data.at(le32(c + 64) + i));
        at = static_cast<uint8_t>(-sum);
        return;
      }
      default: problem = "unknown command";
    }
  }

  const uint8_t* at(uint64_t guest) { return &files["etc/acpi/tables"].at(guest - 0x7ffe0000); }
};

uint8_t sum(const uint8_t* p, size_t n) {
  uint8_t s = 0;
  for (size_t i = 0; i < n; i++) s = static_cast<uint8_t>(s + p[i]);
  return s;
}

TEST(AcpiTables, floppy_controller_is_described_with_its_drives) {
  Config config = sample(1);
  const auto has = [](const std::vector<uint8_t>& dsdt, std::string_view what) {
    return std::search(dsdt.begin(), dsdt.end(), what.begin(), what.end()) != dsdt.end();
  };
  EXPECT_FALSE(has(dsdt_body(config), "FDC0"));
  config.floppies = true;
  config.floppy_types = 0x50;
  const std::vector<uint8_t> dsdt = dsdt_body(config);
  EXPECT_TRUE(has(dsdt, "FDC0"));
  EXPECT_TRUE(has(dsdt, "FLPA"));
  EXPECT_FALSE(has(dsdt, "FLPB"));
  EXPECT_TRUE(has(dsdt, std::string_view("\x2a\x04\x00", 3)));  // DMA channel 2
}

TEST(AcpiTables, loader_script_yields_linked_tables_with_good_checksums) {
  Firmware fw(build(sample(4)));
  ASSERT_EQ(fw.problem, "");
  const std::vector<uint8_t>& rsdp = fw.files["etc/acpi/rsdp"];
  ASSERT_EQ(rsdp.size(), 36u);
  EXPECT_EQ(sum(rsdp.data(), 20), 0);
  EXPECT_EQ(sum(rsdp.data(), 36), 0);
  const uint8_t* rsdt = fw.at(le32(&rsdp[16]));
  EXPECT_EQ(std::memcmp(rsdt, "RSDT", 4), 0);
  EXPECT_EQ(sum(rsdt, le32(rsdt + 4)), 0);
  std::string seen;
  for (uint32_t i = 36; i < le32(rsdt + 4); i += 4) {
    const uint8_t* table = fw.at(le32(rsdt + i));
    EXPECT_EQ(sum(table, le32(table + 4)), 0);
    seen.append(reinterpret_cast<const char*>(table), 4);
    if (std::memcmp(table, "FACP", 4) == 0) {
      EXPECT_EQ(le32(table + 4), 244u);
      EXPECT_EQ(std::memcmp(fw.at(le32(table + 36)), "FACS", 4), 0);
      const uint8_t* dsdt = fw.at(le32(table + 40));
      EXPECT_EQ(std::memcmp(dsdt, "DSDT", 4), 0);
      EXPECT_EQ(sum(dsdt, le32(dsdt + 4)), 0);
    }
  }
  EXPECT_EQ(seen, "FACPAPICHPETWAET");
}

TEST(AcpiTables, many_cpus_use_x2apic_entries) {
  Firmware fw(build(sample(300)));
  EXPECT_EQ(fw.problem, "");
}

// iasl is the judge of the byte code: it disassembles every table and compiles the DSDT again.
TEST(AcpiTables, iasl_accepts_every_table) {
  if (std::system("command -v iasl >/dev/null 2>&1") != 0) GTEST_SKIP() << "iasl is not installed";
  char pattern[] = "/tmp/rhea-acpi-XXXXXX";
  std::filesystem::path dir = mkdtemp(pattern);
  for (auto [cpus, q35] : {std::pair{1u, false}, {64u, false}, {300u, false}, {2u, true}}) {
    Firmware fw(build(q35 ? q35_sample(cpus) : sample(cpus)));
    const std::vector<uint8_t>& tables = fw.files["etc/acpi/tables"];
    for (size_t at = 0; at + 36 < tables.size();) {
      uint32_t length = le32(&tables[at + 4]);
      ASSERT_GE(length, 36u);
      std::string signature(reinterpret_cast<const char*>(&tables[at]), 4);
      std::string stem = (dir / signature).string();
      std::ofstream(stem + ".aml", std::ios::binary)
          .write(reinterpret_cast<const char*>(&tables[at]), static_cast<std::streamsize>(length));
      std::string command = "cd " + dir.string() + " && iasl -d " + signature + ".aml >log 2>&1";
      if (signature == "DSDT") command += " && iasl " + signature + ".dsl >>log 2>&1";
      if (std::system(command.c_str()) != 0) {
        std::ifstream log(dir / "log");
        FAIL() << signature << " with " << cpus << " CPUs\n"
               << std::string(std::istreambuf_iterator<char>(log), {});
      }
      at = (at + length + 7) / 8 * 8;
    }
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace rhea::machine::acpi
