#include "cpu/models/cpu_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/models/feature_info.h"
#include "cpu/models/model_table.h"

namespace rhea::cpu {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

FeatureSet all_features() {
  FeatureSet set;
  for (unsigned i = 0; i < kFeatureCount; ++i) set.set(static_cast<Feature>(i));
  return set;
}

// As if the host had everything.
FeatureSet all_but_never() {
  FeatureSet set;
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    auto f = static_cast<Feature>(i);
    if (feature_info(f).source != FeatureSource::Never) set.set(f);
  }
  return set;
}

ModelRequest request(std::string text, FeatureSet supported = all_but_never()) {
  ModelRequest r;
  r.text = std::move(text);
  r.supported = supported;
  return r;
}

std::unique_ptr<CpuModel> make(ModelRequest r) {
  auto m = CpuModel::create(r);
  EXPECT_TRUE(m.has_value()) << (m ? "" : m.error().message());
  return m ? std::move(*m) : nullptr;
}

std::string error_of(std::string text) {
  auto m = CpuModel::create(request(std::move(text)));
  return m ? "" : m.error().message();
}

TEST(CpuModel, every_row_names_only_known_features) {
  for (const ModelRow& row : model_rows()) {
    std::string_view list = row.features;
    while (!list.empty()) {
      size_t at = list.find(' ');
      std::string_view word = list.substr(0, at);
      if (word[0] == '+' || word[0] == '-') word.remove_prefix(1);
      EXPECT_TRUE(find_feature(word)) << row.name << ": " << word;
      list = at == std::string_view::npos ? "" : list.substr(at + 1);
    }
  }
}

TEST(CpuModel, every_model_builds_alone_and_by_alias) {
  for (const ModelRow& row : model_rows()) EXPECT_NE(make(request(row.name)), nullptr);
  for (const char* name : {"qemu64",
                           "qemu32",
                           "kvm64",
                           "kvm32",
                           "Nehalem",
                           "Westmere",
                           "SandyBridge",
                           "IvyBridge",
                           "Haswell",
                           "Haswell-noTSX-IBRS",
                           "Broadwell-noTSX",
                           "Skylake-Client-IBRS",
                           "Skylake-Server-noTSX-IBRS",
                           "Cascadelake-Server-noTSX",
                           "Icelake-Server",
                           "Opteron_G1",
                           "Opteron_G5",
                           "EPYC-IBPB",
                           "EPYC-Rome",
                           "EPYC-Milan",
                           "max",
                           "host",
                           "base"}) {
    EXPECT_NE(make(request(name)), nullptr) << name;
  }
}

TEST(CpuModel, versions_inherit_from_the_one_before) {
  auto v1 = make(request("Haswell-v1", all_features()));
  auto v2 = make(request("Haswell-noTSX", all_features()));
  auto v4 = make(request("Haswell-v4", all_features()));
  EXPECT_TRUE(v1->table().has(Feature::rtm));
  EXPECT_FALSE(v2->table().has(Feature::rtm));
  EXPECT_FALSE(v2->table().has(Feature::spec_ctrl));
  EXPECT_FALSE(v4->table().has(Feature::rtm));
  EXPECT_TRUE(v4->table().has(Feature::spec_ctrl));
  EXPECT_TRUE(v4->table().has(Feature::avx2));
}

TEST(CpuModel, user_changes_win_and_minus_wins_over_plus) {
  auto m = make(request("qemu64,+avx,xsave=on,sse4_1,lahf_lm=off,+nx,-nx"));
  EXPECT_TRUE(m->table().has(Feature::avx));
  EXPECT_TRUE(m->table().has(Feature::sse4_1));
  EXPECT_FALSE(m->table().has(Feature::lahf_lm));
  EXPECT_FALSE(m->table().has(Feature::nx));
  EXPECT_EQ(m->table().xcr0_allowed, 7u);
}

TEST(CpuModel, what_cannot_be_had_is_masked_with_a_warning) {
  auto m = make(request("Haswell"));
  EXPECT_FALSE(m->table().has(Feature::hle));
  EXPECT_THAT(m->warnings(), Contains("TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]"));
  EXPECT_THAT(make(request("Haswell,check=off"))->warnings(), IsEmpty());
  EXPECT_THAT(make(request("qemu64"))->warnings(), IsEmpty());
  EXPECT_THAT(make(request("qemu64,+svm"))->warnings(),
              Contains("TCG doesn't support requested feature: CPUID.80000001H:ECX.svm [bit 2]"));
  EXPECT_THAT(error_of("Haswell,enforce=on"), HasSubstr("hle"));
}

TEST(CpuModel, dependents_go_with_what_they_need) {
  auto m = make(request("Skylake-Server,-xsave"));
  EXPECT_FALSE(m->table().has(Feature::avx512f));
  EXPECT_FALSE(m->table().has(Feature::pku));
  EXPECT_EQ(m->table().xcr0_allowed, 1u);
  EXPECT_THAT(make(request("qemu64,+avx"))->warnings(),
              Contains("feature depends on 'xsave', which is off: CPUID.01H:ECX.avx [bit 28]"));
}

TEST(CpuModel, errors_name_the_slip) {
  EXPECT_THAT(error_of("Hasswell"), HasSubstr("did you mean 'Haswell'"));
  EXPECT_THAT(error_of("qemu64,+avx22"), HasSubstr("unknown CPU feature or property 'avx22'"));
  EXPECT_THAT(error_of("qemu64,avx=maybe"), HasSubstr("'avx' expects 'on' or 'off', not 'maybe'"));
  EXPECT_THAT(error_of("qemu64,family=99999"), HasSubstr("'family' expects a number"));
  EXPECT_THAT(error_of("qemu64,vendor=me"), HasSubstr("12 characters"));
  EXPECT_THAT(error_of(""), HasSubstr("expects a model"));
  EXPECT_THAT(cpu_help(), HasSubstr("x86 EPYC-Rome"));
  EXPECT_THAT(cpu_help(), HasSubstr("avx512f"));
}

struct CpuidTest : ::testing::Test {
  std::unique_ptr<CpuModel> model;
  Core core;
  void use(ModelRequest r, unsigned index = 0) {
    model = make(std::move(r));
    core.s.apic_base = 0xfee00900;
    core.s.xcr0 = 1;
    model->attach(core, index);
  }
  CpuidRegs ask(uint32_t leaf, uint32_t subleaf = 0) { return query_cpuid(core, leaf, subleaf); }
};

TEST_F(CpuidTest, identity_is_the_model_s) {
  use(request("Haswell"));
  CpuidRegs r = ask(0);
  EXPECT_EQ(r.eax, 0xdu);
  EXPECT_EQ(r.ebx, 0x756e6547u);
  EXPECT_EQ(ask(1).eax, 0x000306c4u);
  use(request("EPYC-Rome"));
  EXPECT_EQ(ask(1).eax, 0x00830f10u);
  EXPECT_EQ(ask(0x80000000).ebx, 0x68747541u);
  EXPECT_EQ(ask(0x80000001).edx & 0x0183f3ff, ask(1).edx & 0x0183f3ff);
}

TEST_F(CpuidTest, state_shows_through) {
  use(request("Skylake-Server"));
  EXPECT_EQ(ask(1).ecx >> 27 & 1, 0u);
  EXPECT_EQ(ask(7).ecx >> 4 & 1, 0u);
  core.s.cr4 = cr4::OSXSAVE | cr4::PKE;
  EXPECT_EQ(ask(1).ecx >> 27 & 1, 1u);
  EXPECT_EQ(ask(7).ecx >> 4 & 1, 1u);
  EXPECT_EQ(ask(1).edx >> 9 & 1, 1u);
  core.s.apic_base = 0xfee00000;
  EXPECT_EQ(ask(1).edx >> 9 & 1, 0u);
}

TEST_F(CpuidTest, xsave_sizes_follow_xcr0) {
  use(request("Skylake-Server"));
  EXPECT_EQ(ask(0xd).ebx, 576u);
  EXPECT_EQ(ask(0xd).ecx, 2696u);
  core.s.xcr0 = 7;
  EXPECT_EQ(ask(0xd).ebx, 832u);
  core.s.xcr0 = 0xe7;
  EXPECT_EQ(ask(0xd).ebx, 2688u);
  EXPECT_EQ(ask(0xd, 1).ebx, 576u + 256 + 64 + 512 + 1024);
  EXPECT_EQ(ask(0xd, 5).ebx, 1088u);
  EXPECT_EQ(ask(0xd, 9).eax, 8u);
  EXPECT_EQ(ask(0xd, 3).eax, 0u);
}

TEST_F(CpuidTest, topology_gives_ids_and_leaves) {
  ModelRequest r = request("Haswell");
  r.topology = {.sockets = 2, .cores = 3, .threads = 2};
  use(r, 7);  // socket 1, core 0, thread 1
  EXPECT_EQ(core.apic_id, 9u);
  EXPECT_EQ(ask(1).ebx >> 24, 9u);
  EXPECT_EQ(ask(1).ebx >> 16 & 0xff, 8u);
  EXPECT_EQ(ask(0xb, 0).eax, 1u);
  EXPECT_EQ(ask(0xb, 1).eax, 3u);
  EXPECT_EQ(ask(0xb, 1).ebx, 6u);
  EXPECT_EQ(ask(0xb, 0).edx, 9u);
  EXPECT_EQ(ask(0xb, 2).ecx, 2u);
  EXPECT_EQ(ask(0xb, 2).eax, 0u);
  EXPECT_EQ(ask(4, 0).eax >> 26, 3u);
  EXPECT_TRUE(model->table().has(Feature::ht));
}

TEST_F(CpuidTest, out_of_range_leaves_are_the_vendor_s) {
  use(request("Haswell"));
  EXPECT_EQ(ask(0x1234).ecx, ask(0xd).ecx);
  use(request("EPYC"));
  EXPECT_EQ(ask(0x1234).ecx, 0u);
  EXPECT_EQ(ask(0x40000000).ebx, 0x61656852u);
  use(request("EPYC,-hypervisor"));
  EXPECT_EQ(ask(0x40000000).ebx, 0u);
}

TEST_F(CpuidTest, address_widths) {
  use(request("qemu64"));
  EXPECT_EQ(ask(0x80000008).eax, 0x3028u);
  use(request("max,la57=on,phys-bits=46"));
  EXPECT_EQ(ask(0x80000008).eax, 0x392eu);
  EXPECT_EQ(core.phys_bits, 46u);
  use(request("qemu32"));
  EXPECT_EQ(core.phys_bits, 36u);
}

}  // namespace
}  // namespace rhea::cpu
