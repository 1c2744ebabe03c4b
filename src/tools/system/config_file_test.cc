#include "tools/system/config_file.h"

#include <gtest/gtest.h>

namespace rhea::system {
namespace {

TEST(ConfigFile, groups_become_options) {
  auto made = parse_config_file(
      "# a comment\n[drive \"disk\"]\n  file = \"a,b.img\"\n  if = \"none\"\n\n"
      "[smp-opts]\n cpus=\"4\"\n[device]\n driver = \"edu\"\n",
      "vm.cfg");
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*made, (std::vector<std::string>{"-drive", "id=disk,file=a,,b.img,if=none", "-smp", "cpus=4",
                                             "-device", "driver=edu"}));
}

TEST(ConfigFile, mistakes_are_named_with_their_line) {
  for (const char* text : {"x\ny = \"1\"\n", "[a]\nb = 1\n", "[a\n", "[a]\nnothing\n"}) {
    auto made = parse_config_file(text, "vm.cfg");
    ASSERT_FALSE(made) << text;
    EXPECT_NE(made.error().message().find("vm.cfg:"), std::string::npos) << made.error().message();
  }
}

TEST(ExpandArguments, set_changes_an_earlier_option) {
  const char* words[] = {"-device", "edu,id=e", "-device", "edu,id=f", "-set", "device.e.addr=5", "-S"};
  auto made = expand_arguments(words);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*made, (std::vector<std::string>{"-device", "edu,id=e,addr=5", "-device", "edu,id=f", "-S"}));
  const char* wrong[] = {"-device", "edu,id=e", "-set", "device.x.addr=5"};
  EXPECT_FALSE(expand_arguments(wrong));
}

}  // namespace
}  // namespace rhea::system
