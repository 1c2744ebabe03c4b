#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sizes.h"
#include "config/command_line.h"
#include "config/key_values.h"
#include "config/schema.h"

namespace rhea::config {
namespace {

using testing::HasSubstr;

enum class Bus { Ide, Virtio, None };

struct Drive {
  std::string file;
  Bus bus = Bus::Ide;
  std::optional<uint32_t> index;
  bool readonly = false;
  uint64_t size = kMiB;
  int level = 0;
  std::vector<std::string> forwards;
};

const Group<Drive>& drive() {
  static const Group<Drive> group{
      "drive",
      "file",
      {
          text("file", &Drive::file, "image file"),
          choice("if", &Drive::bus, {{"ide", Bus::Ide}, {"virtio", Bus::Virtio}, {"none", Bus::None}},
                 "interface"),
          integer("index", &Drive::index, 0, 31, "place on its bus"),
          boolean("readonly", &Drive::readonly, "no writes"),
          size("size", &Drive::size, kMiB, kMiB, kGiB, "size"),
          integer("level", &Drive::level, -3, 3, "signed"),
          text_list("hostfwd", &Drive::forwards, "forwarded port"),
      }};
  return group;
}

std::string error_of(std::string_view text) {
  const auto result = drive().parse(text);
  return result ? "no error" : result.error().message();
}

TEST(Split, doubled_commas_stand_for_one) {
  EXPECT_EQ(*split_options("a,,b.img,if=none", "file"), (KeyValues{{"file", "a,b.img"}, {"if", "none"}}));
  EXPECT_EQ(*split_options("file=x,,y,,", ""), (KeyValues{{"file", "x,y,"}}));
}

TEST(Split, bare_words_and_empty_values) {
  EXPECT_EQ(*split_options("Haswell,+avx,pmu=on", "model"),
            (KeyValues{{"model", "Haswell"}, {"+avx", std::nullopt}, {"pmu", "on"}}));
  EXPECT_EQ(*split_options("file=", ""), (KeyValues{{"file", ""}}));
  EXPECT_EQ(*split_options("", "file"), KeyValues{});
  EXPECT_FALSE(split_options("=x", "file"));
}

TEST(Split, equals_sign_in_a_value_stays) {
  EXPECT_EQ(*split_options("append=console=ttyS0", ""), (KeyValues{{"append", "console=ttyS0"}}));
}

TEST(Split, json_is_flattened) {
  EXPECT_EQ(
      *split_options(R"({"driver":"qcow2","file":{"filename":"a,b"},"lazy":true,"n":[1,2]})", "x"),
      (KeyValues{{"driver", "qcow2"}, {"file.filename", "a,b"}, {"lazy", "on"}, {"n.0", "1"}, {"n.1", "2"}}));
  EXPECT_FALSE(split_options("{", ""));
  EXPECT_FALSE(split_options("{\"a\":null}", ""));
  EXPECT_FALSE(split_options("{\"a\":" + std::string(100'000, '['), ""));
}

TEST(Split, take_returns_the_last_value_and_removes_all) {
  KeyValues list{{"a", "1"}, {"b", "2"}, {"a", "3"}};
  EXPECT_EQ(take(list, "a"), "3");
  EXPECT_EQ(list, (KeyValues{{"b", "2"}}));
  EXPECT_EQ(take(list, "a"), std::nullopt);
}

TEST(Nearest, finds_slips_and_nothing_else) {
  const std::vector<std::string_view> names = {"file", "if", "index", "readonly"};
  EXPECT_EQ(nearest("fiel", names), "file");
  EXPECT_EQ(nearest("readony", names), "readonly");
  EXPECT_EQ(nearest("zzz", names), std::nullopt);
  EXPECT_EQ(nearest("", names), std::nullopt);
  EXPECT_EQ(nearest(std::string(1'000'000, 'a'), names), std::nullopt);
}

TEST(Group, all_types_are_set) {
  const auto drive_options =
      drive().parse("disk.img,if=virtio,index=0x1f,readonly,size=1.5M,level=-2,hostfwd=a,hostfwd=b");
  ASSERT_TRUE(drive_options) << drive_options.error().message();
  EXPECT_EQ(drive_options->file, "disk.img");
  EXPECT_EQ(drive_options->bus, Bus::Virtio);
  EXPECT_EQ(drive_options->index, 31u);
  EXPECT_TRUE(drive_options->readonly);
  EXPECT_EQ(drive_options->size, kMiB + kMiB / 2);
  EXPECT_EQ(drive_options->level, -2);
  EXPECT_EQ(drive_options->forwards, (std::vector<std::string>{"a", "b"}));
}

TEST(Group, what_is_not_given_keeps_the_structs_default) {
  const auto drive_options = drive().parse("noreadonly");
  ASSERT_TRUE(drive_options);
  EXPECT_EQ(drive_options->file, "noreadonly");  // the first word is the implied key's value
  EXPECT_EQ(drive_options->index, std::nullopt);
  EXPECT_EQ(drive_options->size, kMiB);
  EXPECT_FALSE(drive().parse("x,readonly,noreadonly")->readonly);
}

TEST(Group, json_spelling_means_the_same) {
  const auto drive_options = drive().parse(R"({"file": "a", "index": 3, "readonly": true})");
  ASSERT_TRUE(drive_options) << drive_options.error().message();
  EXPECT_EQ(drive_options->index, 3u);
  EXPECT_TRUE(drive_options->readonly);
}

TEST(Group, errors_name_key_value_and_what_is_accepted) {
  EXPECT_EQ(error_of("a,fil=b"),
            "unknown key 'fil', did you mean 'file'? known keys are file, if, index, readonly, size, level, "
            "hostfwd");
  EXPECT_EQ(error_of("a,if=virtoi"),
            "'if' accepts one of ide, virtio, none, not 'virtoi', did you mean 'virtio'?");
  EXPECT_EQ(error_of("a,index=32"), "'index' accepts an integer from 0 to 31, not '32'");
  EXPECT_EQ(error_of("a,index=-1"), "'index' accepts an integer from 0 to 31, not '-1'");
  EXPECT_EQ(error_of("a,index="), "'index' accepts an integer from 0 to 31, not ''");
  EXPECT_EQ(error_of("a,readonly=maybe"), "'readonly' accepts on or off, not 'maybe'");
  EXPECT_EQ(error_of("a,size=2G"), "'size' accepts a size such as 512M or 1.5G from 1M to 1G, not '2G'");
  EXPECT_EQ(error_of("a,index"), "'index' needs a value: index=an integer from 0 to 31");
  EXPECT_THAT(error_of("a,noindex"), HasSubstr("unknown key 'noindex'"));
}

TEST(Group, help_lists_keys_types_and_defaults) {
  const std::string help = drive().help();
  EXPECT_THAT(help, HasSubstr("drive options:\n"));
  EXPECT_THAT(help, HasSubstr("if=<ide|virtio|none>"));
  EXPECT_THAT(help, HasSubstr("- size (default: 1M)\n"));
  EXPECT_THAT(help, HasSubstr("- place on its bus\n"));
  EXPECT_TRUE(asks_for_help("help"));
  EXPECT_TRUE(asks_for_help("e1000,help"));
  EXPECT_FALSE(asks_for_help("helpless"));
}

class Command : public testing::Test {
 protected:
  Result<> parse(std::vector<const char*> words) { return line_.parse(words); }

  std::string seen_;
  Drive drive_;
  CommandLine line_{{
      {"drive", "[file=]name[,if=…]", "a disk",
       [this](std::string_view argument) { return drive().parse_into(argument, drive_); }},
      {"S", "", "stopped",
       [this](std::string_view) -> Result<> {
         seen_ += "S";
         return {};
       }},
  }};
};

TEST_F(Command, one_and_two_dashes_are_the_same) {
  ASSERT_TRUE(parse({"-drive", "a.img", "--S", "-S"}));
  EXPECT_EQ(drive_.file, "a.img");
  EXPECT_EQ(seen_, "SS");
}

TEST_F(Command, errors_name_the_option) {
  EXPECT_EQ(parse({"-drive", "a,index=x"}).error().message(),
            "-drive a,index=x: 'index' accepts an integer from 0 to 31, not 'x'");
  EXPECT_EQ(parse({"-drvie", "a"}).error().message(), "-drvie: unknown option, did you mean '-drive'?");
  EXPECT_EQ(parse({"-drive"}).error().message(), "-drive: requires an argument: [file=]name[,if=…]");
  EXPECT_EQ(parse({"disk"}).error().message(), "'disk' is not an option");
}

TEST_F(Command, help_has_a_line_for_each_option) {
  EXPECT_THAT(line_.help(), HasSubstr("-S              stopped\n"));
}

}  // namespace
}  // namespace rhea::config
