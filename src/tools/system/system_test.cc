#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/system/options.h"
#include "tools/system/rtc_base.h"
#include "tools/system/topology.h"

namespace rhea::system {
namespace {

using testing::HasSubstr;

Result<SystemOptions> parse(std::vector<const char*> words) {
  return parse_command_line(words);
}

std::string error_of(std::vector<const char*> words) {
  auto result = parse(std::move(words));
  return result ? "no error" : result.error().message();
}

cpu::Topology topology(SmpOptions smp) {
  return resolve_topology(smp, 64).value().topology;
}

TEST(Topology, missing_numbers_follow_from_the_given) {
  EXPECT_EQ(topology({}).count(), 1u);
  EXPECT_EQ(topology({.cpus = 6}).cores, 6u);
  EXPECT_EQ(topology({.cpus = 8, .sockets = 2}).cores, 4u);
  EXPECT_EQ(topology({.cpus = 8, .cores = 2}).sockets, 4u);
  EXPECT_EQ(topology({.cpus = 8, .sockets = 2, .cores = 2}).threads, 2u);
  EXPECT_EQ(resolve_topology({.cpus = 1, .maxcpus = 4}, 64)->cpus, 1u);
  EXPECT_EQ(topology({.sockets = 2, .cores = 3, .threads = 2}).count(), 12u);
}

TEST(Topology, impossible_numbers_are_refused) {
  auto text = [](SmpOptions smp) { return resolve_topology(smp, 64).error().text(); };
  EXPECT_THAT(text({.cpus = 0}), HasSubstr("greater than zero"));
  EXPECT_THAT(text({.cpus = 5, .sockets = 2}), HasSubstr("product of the hierarchy"));
  EXPECT_THAT(text({.cpus = 4, .maxcpus = 2}), HasSubstr("equal to or greater"));
  EXPECT_THAT(text({.cpus = 65}), HasSubstr("max CPUs"));
}

TEST(MemoryBackend, is_the_machines_memory) {
  auto o = parse(
      {"-object", "memory-backend-file,id=m,size=64M,mem-path=x,share=on", "-M", "q35,memory-backend=m"});
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_EQ(o->memory.size, uint64_t{64} << 20);
  ASSERT_EQ(o->objects.memories.size(), 1u);
  EXPECT_EQ(o->objects.memories[0].kind, MemoryKind::File);
  EXPECT_EQ(o->objects.memories[0].share, true);
}

TEST(MemoryBackend, mem_path_and_prealloc_make_one) {
  auto o = parse({"-m", "64", "-mem-path", "/dev/shm", "-mem-prealloc"});
  ASSERT_TRUE(o) << o.error().message();
  ASSERT_EQ(o->objects.memories.size(), 1u);
  EXPECT_EQ(o->objects.memories[0].id, o->machine.memory_backend);
  EXPECT_EQ(o->objects.memories[0].size, uint64_t{64} << 20);
  EXPECT_TRUE(o->objects.memories[0].prealloc);
}

TEST(MemoryBackend, contradictions_are_refused) {
  const auto message = [](std::vector<const char*> words) {
    auto o = parse(std::move(words));
    return o ? std::string("taken") : o.error().message();
  };
  const char* object = "memory-backend-ram,id=m,size=64M";
  EXPECT_THAT(message({"-M", "pc,memory-backend=m"}), HasSubstr("Memory backend 'm' not found"));
  EXPECT_THAT(message({"-m", "128", "-object", object, "-M", "pc,memory-backend=m"}),
              HasSubstr("does not match"));
  EXPECT_THAT(message({"-object", object, "-object", object}), HasSubstr("Duplicate ID"));
  EXPECT_THAT(message({"-object", "memory-backend-ram,id=m"}), HasSubstr("'size' is missing"));
  EXPECT_THAT(message({"-object", "memory-backend-file,id=m,size=1M"}), HasSubstr("'mem-path' is missing"));
  EXPECT_THAT(message({"-object", "memory-backend-ram,id=m,size=1M,seal=on"}), HasSubstr("seal"));
  EXPECT_THAT(message({"-object", "memory-backend-memfd,id=m,size=4M,hugetlbsize=2M"}),
              HasSubstr("hugetlb=on"));
  EXPECT_THAT(message({"-object", object, "-M", "pc,memory-backend=m", "-mem-path", "x"}),
              HasSubstr("together"));
}

TEST(RtcBase, dates_and_words) {
  EXPECT_TRUE(resolve_rtc_base("utc", 5)->host);
  EXPECT_EQ(resolve_rtc_base("utc", 5)->seconds, 0);
  EXPECT_FALSE(resolve_rtc_base("2000-01-01", 5)->host);
  EXPECT_EQ(resolve_rtc_base("2000-01-01", 5)->seconds, 946684800);
  EXPECT_EQ(resolve_rtc_base("2000-01-01T00:00:10", 5)->seconds, 946684810);
  EXPECT_FALSE(resolve_rtc_base("yesterday", 5));
}

TEST(CommandLine, ordinary_options_are_taken) {
  auto o =
      parse({"-m",         "2G",           "-smp",        "4,sockets=2", "-machine",    "pc,accel=kvm:tcg",
             "-cpu",       "Haswell,+avx", "-kernel",     "/dev/null",   "-append",     "console=ttyS0",
             "-nographic", "-no-reboot",   "-nodefaults", "-serial",     "file:/tmp/x", "-net",
             "none",       "-vga",         "none",        "-display",    "none",        "-s",
             "-S"});
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_EQ(o->memory.size, uint64_t{2} << 30);
  EXPECT_EQ(o->smp.sockets, 2u);
  ASSERT_EQ(o->accelerators.size(), 2u);
  EXPECT_EQ(o->accelerators[0].kind, EngineKind::Kvm);
  EXPECT_EQ(o->gdb, "tcp::1234");
  EXPECT_TRUE(o->start_paused);
}

TEST(CommandLine, plain_memory_number_is_mebibytes) {
  EXPECT_EQ(parse({"-m", "512"})->memory.size, uint64_t{512} << 20);
}

TEST(CommandLine, nothing_is_accepted_and_ignored) {
  EXPECT_THAT(error_of({"-vga", "qxl"}), HasSubstr("-vga qxl"));
  EXPECT_THAT(error_of({"-vga", "nosuch"}), HasSubstr("unknown vga type: nosuch"));
  EXPECT_THAT(error_of({"-net", "bridge"}), HasSubstr("'bridge' is not supported"));
  EXPECT_THAT(error_of({"-netdev", "user"}), HasSubstr("'id' is missing"));
  EXPECT_THAT(error_of({"-nic", "user,colour=red"}), HasSubstr("colour"));
  EXPECT_THAT(error_of({"-object", "filter-mirror,id=f"}), HasSubstr("filter-mirror"));
  EXPECT_THAT(error_of({"-display", "gtk,gl=on"}), HasSubstr("not supported"));
  EXPECT_THAT(error_of({"-display", "x11"}), HasSubstr("no display 'x11'"));
  EXPECT_THAT(error_of({"-machine", "xenfv"}), HasSubstr("xenfv"));
  EXPECT_THAT(error_of({"-m", "1G,slots=2,maxmem=4G"}), HasSubstr("slots"));
  EXPECT_THAT(error_of({"-frobnicate"}), HasSubstr("-frobnicate"));
  EXPECT_EQ(error_of({"-incoming", "tcp:0:1"}), "-incoming: this option is not supported");
  EXPECT_THAT(error_of({"-append", "x"}), HasSubstr("-kernel"));
  EXPECT_THAT(error_of({"-accel", "xen"}), HasSubstr("xen"));
  EXPECT_THAT(error_of({"-accel", "kvm,tb-size=3"}), HasSubstr("tb-size"));
}

TEST(CommandLine, machines_have_versions) {
  EXPECT_EQ(parse({"-M", "pc-q35-2.10"})->machine.machine().chipset, machine::Chipset::Q35);
  EXPECT_EQ(parse({"-M", "isapc"})->machine.machine().chipset, machine::Chipset::None);
  EXPECT_EQ(parse({})->machine.machine().name, "pc-i440fx-7.2");
  EXPECT_THAT(error_of({"-M", "pc-q35-9.9"}), HasSubstr("pc-q35-9.9"));
  auto o = parse({"-M", "q35,smm=off,vmport=off,hpet=off", "-machine", "usb=on"});
  EXPECT_EQ(o->machine.smm, OnOffAuto::Off);
  EXPECT_TRUE(o->machine.usb);
  EXPECT_EQ(o->machine.machine().chipset, machine::Chipset::Q35);
}

TEST(CommandLine, firmware_tables_are_checked) {
  auto o = parse({"-smbios", "type=1,serial=abc,uuid=12345678-1234-1234-1234-123456789abc", "-smbios",
                  "type=11,value=a,value=b", "-smbios", "type=0,release=1.2"});
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_EQ(o->smbios.system.serial, "abc");
  EXPECT_EQ(o->smbios.oem_strings.size(), 2u);
  EXPECT_EQ((*o->smbios.bios->release)[1], 2);
  EXPECT_THAT(error_of({"-smbios", "type=99"}), HasSubstr("99"));
  EXPECT_THAT(error_of({"-smbios", "type=1,colour=red"}), HasSubstr("colour"));
  EXPECT_THAT(error_of({"-acpitable", "sig=ABCD"}), HasSubstr("one of 'data' or 'file'"));
  auto table = make_acpi_table({.sig = "ABCD", .data = "/dev/null"});
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->size(), 36u);
}

TEST(CommandLine, boot_order_letters_are_checked) {
  EXPECT_EQ(parse({"-boot", "order=dc,once=n,strict=on,reboot-timeout=-1"})->boot.once, "n");
  EXPECT_THAT(error_of({"-boot", "once=z"}), HasSubstr("'z'"));
}

}  // namespace
}  // namespace rhea::system
