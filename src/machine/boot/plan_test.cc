#include "machine/boot/plan.h"

#include <gtest/gtest.h>

#include <random>

#include "machine/boot/elf.h"

namespace rhea::machine::boot {
namespace {

void put(Bytes& b, size_t at, uint64_t v, unsigned n) {
  if (b.size() < at + n) b.resize(at + n);
  for (unsigned i = 0; i < n; i++) b[at + i] = static_cast<uint8_t>(v >> (8 * i));
}

uint64_t get(const Bytes& b, size_t at, unsigned n) {
  uint64_t v = 0;
  for (unsigned i = 0; i < n; i++) v |= uint64_t{b.at(at + i)} << (8 * i);
  return v;
}

Bytes linux_kernel(unsigned version = 0x20f, unsigned sects = 4, size_t payload = 5000) {
  Bytes k((sects + 1) * 512 + payload, 0x90);
  put(k, 0x1f1, sects, 1);
  put(k, 0x1fe, 0xaa55, 2);
  put(k, 0x202, 0x53726448, 4);
  put(k, 0x206, version, 2);
  put(k, 0x211, 1, 1);
  put(k, 0x22c, 0x7fffffff, 4);
  put(k, 0x238, 2047, 4);
  return k;
}

Bytes elf32(uint64_t paddr, Bytes content, uint64_t memory_size) {
  Bytes e;
  put(e, 0, 0x464c457f, 4);
  put(e, 4, 1, 1);
  put(e, 5, 1, 1);
  put(e, 16, 2, 2);
  put(e, 18, 3, 2);
  put(e, 24, paddr + 16, 4);
  put(e, 28, 52, 4);
  put(e, 42, 32, 2);
  put(e, 44, 1, 2);
  put(e, 52, 1, 4);
  put(e, 56, 84, 4);
  put(e, 60, paddr, 4);
  put(e, 64, paddr, 4);
  put(e, 68, content.size(), 4);
  put(e, 72, memory_size, 4);
  put(e, 80, 0, 4);
  e.insert(e.end(), content.begin(), content.end());
  return e;
}

Bytes multiboot_header(uint32_t flags) {
  Bytes h;
  put(h, 0, 0x1badb002, 4);
  put(h, 4, flags, 4);
  put(h, 8, 0u - 0x1badb002u - flags, 4);
  return h;
}

Request request(Bytes kernel) {
  Request r;
  r.kernel = std::move(kernel);
  r.command_line = "console=ttyS0";
  r.low_ram_end = 0x8000000;
  return r;
}

TEST(LinuxBoot, bzimage_is_laid_out_by_the_protocol) {
  Request r = request(linux_kernel());
  r.modules.push_back({Bytes(10000, 1), ""});
  auto plan = plan_kernel(r);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->setup.address, 0x10000u);
  EXPECT_EQ(plan->setup.data.size(), 5u * 512);
  EXPECT_EQ(plan->kernel.address, 0x100000u);
  EXPECT_EQ(plan->kernel.data.size(), 5000u);
  EXPECT_EQ(get(plan->setup.data, 0x228, 4), 0x20000u);
  EXPECT_EQ(get(plan->setup.data, 0x210, 1), 0xffu);
  EXPECT_EQ(get(plan->setup.data, 0x211, 1), 0x81u);
  EXPECT_EQ(get(plan->setup.data, 0x218, 4), plan->initrd.address);
  EXPECT_EQ(get(plan->setup.data, 0x21c, 4), 10000u);
  EXPECT_EQ(plan->initrd.address % 4096, 0u);
  EXPECT_LE(plan->initrd.address + 10000u, load_limit(r.low_ram_end));
  EXPECT_EQ(std::string(plan->command_line.data.begin(), plan->command_line.data.end() - 1), "console=ttyS0");
}

TEST(LinuxBoot, vga_option_sets_the_video_mode) {
  Request r = request(linux_kernel());
  r.command_line = "novga=1 vga=0x317 quiet";
  auto plan = plan_kernel(r);
  ASSERT_TRUE(plan);
  EXPECT_EQ(get(plan->setup.data, 0x1fa, 2), 0x317u);
}

TEST(LinuxBoot, too_many_setup_sectors_are_refused) {
  EXPECT_FALSE(plan_kernel(request(linux_kernel(0x20f, 255, 500))));
  Bytes cut = linux_kernel(0x20f, 64);
  cut.resize(1000);
  EXPECT_FALSE(plan_kernel(request(cut)));
}

TEST(LinuxBoot, long_command_line_is_refused) {
  Request r = request(linux_kernel());
  r.command_line.assign(2048, 'x');
  EXPECT_FALSE(plan_kernel(r));
}

TEST(LinuxBoot, initrd_larger_than_ram_is_refused) {
  Request r = request(linux_kernel());
  r.low_ram_end = 0x400000;
  r.modules.push_back({Bytes(0x400000), ""});
  auto plan = plan_kernel(r);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), ErrorKind::NoSpace);
}

TEST(Multiboot, elf_kernel_with_modules) {
  Bytes content = multiboot_header(3);
  content.resize(100, 0x90);
  Request r = request(elf32(0x200000, content, 8192));
  r.modules = {{Bytes(5000, 1), "one a"}, {Bytes(10, 2), "two"}};
  auto plan = plan_kernel(r);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->rom_name, "multiboot.bin");
  EXPECT_EQ(plan->kernel.address, 0x200000u);
  EXPECT_EQ(plan->kernel.data.size(), 8192u);
  const Bytes& s = plan->setup.data;
  EXPECT_EQ(get(s, 0, 4), 0x2badb002u);
  EXPECT_EQ(get(s, 8, 4), 0x200010u);
  size_t info = get(s, 4, 4) - plan->setup.address;
  EXPECT_EQ(get(s, info + 20, 4), 2u);
  size_t mods = get(s, info + 24, 4) - plan->setup.address;
  EXPECT_EQ(get(s, mods, 4), 0x202000u);
  EXPECT_EQ(get(s, mods + 4, 4), 0x202000u + 5000);
  EXPECT_EQ(get(s, mods + 16, 4), 0x204000u);
}

TEST(Multiboot, address_fields_place_a_flat_binary) {
  Bytes k(64, 0);
  Bytes h = multiboot_header(0x10003);
  k.insert(k.end(), h.begin(), h.end());
  put(k, 64 + 12, 0x100040, 4);
  put(k, 64 + 16, 0x100000, 4);
  put(k, 64 + 20, 0, 4);
  put(k, 64 + 24, 0x110000, 4);
  put(k, 64 + 28, 0x100060, 4);
  auto plan = plan_kernel(request(k));
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->kernel.address, 0x100000u);
  EXPECT_EQ(plan->kernel.data.size(), 0x10000u);
  put(k, 64 + 24, 0x10, 4);
  EXPECT_FALSE(plan_kernel(request(k)));
  put(k, 64 + 24, 0, 4);
  put(k, 64 + 16, 0x200000, 4);
  EXPECT_FALSE(plan_kernel(request(k)));
}

TEST(Multiboot, video_mode_is_refused) {
  EXPECT_FALSE(plan_kernel(request(elf32(0x200000, multiboot_header(4), 64))));
}

TEST(Pvh, note_names_the_entry) {
  Bytes content(256, 0x90);
  Bytes e = elf32(0x1000000, content, 4096);
  // A second program header for the note: move the table to the end.
  Bytes note;
  put(note, 0, 4, 4);
  put(note, 4, 4, 4);
  put(note, 8, 18, 4);
  put(note, 12, 0x006e6558, 4);
  put(note, 16, 0x1000010, 4);
  size_t note_at = e.size();
  e.insert(e.end(), note.begin(), note.end());
  size_t table = e.size();
  for (size_t i = 0; i < 32; i++) e.push_back(e[52 + i]);
  put(e, table + 32, 4, 4);
  put(e, table + 36, note_at, 4);
  put(e, table + 48, note.size(), 4);
  put(e, table + 52, note.size(), 4);
  put(e, table + 60, 4, 4);
  put(e, 28, table, 4);
  put(e, 44, 2, 2);
  auto plan = plan_kernel(request(e));
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->rom_name, "pvh.bin");
  EXPECT_EQ(get(plan->setup.data, 8, 4), 0x1000010u);
  size_t info = get(plan->setup.data, 4, 4) - plan->setup.address;
  EXPECT_EQ(get(plan->setup.data, info, 4), 0x336ec578u);
  put(e, note_at + 16, 0x10, 4);
  EXPECT_FALSE(plan_kernel(request(e)));
}

TEST(Elf, segment_outside_ram_is_refused) {
  EXPECT_FALSE(plan_kernel(request(elf32(0xfffff000, multiboot_header(0), 0xffffffff))));
  EXPECT_FALSE(plan_kernel(request(elf32(0x1000, multiboot_header(0), 64))));
}

// Every field of every header is the file's to choose: no crash, whatever it says.
TEST(Plan, damaged_kernels_are_survived) {
  Bytes content = multiboot_header(3);
  content.resize(100, 0x90);
  Bytes seeds[] = {linux_kernel(), elf32(0x200000, content, 8192)};
  std::mt19937 random(1);
  for (unsigned i = 0; i < 4000; i++) {
    Bytes k = seeds[i % 2];
    size_t header = i % 2 == 0 ? 0x1f0 : 0, range = i % 2 == 0 ? 0x60 : 100;
    for (unsigned n = 0; n < 1 + i % 5; n++) k[header + random() % range] = static_cast<uint8_t>(random());
    if (i % 7 == 0) k.resize(random() % k.size());
    Request r = request(k);
    r.low_ram_end = 0x1000000;
    (void)plan_kernel(r);
  }
}

TEST(OptionRom, header_and_checksums_are_what_firmware_wants) {
  for (OptionRom which : {OptionRom::LinuxBoot, OptionRom::FlatBoot}) {
    Bytes rom = option_rom_image(which);
    ASSERT_EQ(rom.size() % 512, 0u);
    EXPECT_EQ(rom[0], 0x55);
    EXPECT_EQ(rom[1], 0xaa);
    EXPECT_EQ(rom[2] * 512u, rom.size());
    unsigned sum = 0;
    for (uint8_t b : rom) sum += b;
    EXPECT_EQ(sum & 0xff, 0u);
    EXPECT_EQ(get(rom, get(rom, 0x1a, 2), 4), 0x506e5024u);
  }
}

}  // namespace
}  // namespace rhea::machine::boot
