// qcow2 images against a model in memory: random writes, zeroing, discarding, reopening, snapshots, resizing,
// with every kind of table; after each the image must read as the model and check clean.
#include "block/formats/qcow2/qcow2.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>

#include "block/facets.h"
#include "block/open.h"

namespace rhea::block {
namespace {

constexpr uint64_t kSize = 3 << 20;

class Qcow2Test : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "rhea_qcow2_XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    name_ = directory_ + "/a.qcow2";
  }
  void TearDown() override { std::ignore = std::system(("rm -rf " + directory_).c_str()); }

  Result<> create(const std::string& name, std::string options, uint64_t size) {
    CreateRequest request;
    request.filename = name;
    request.size = size;
    TRY(request.values.parse(options, qcow2_driver().create_options()));
    return qcow2_driver().create(request);
  }
  static Result<std::unique_ptr<ImageNode>> open(const std::string& name, bool writable = true) {
    OpenFlags flags;
    flags.writable = writable;
    flags.cache = CacheMode::Unsafe;
    ImageName image;
    image.filename = name;
    image.format = "qcow2";
    return open_image(image, flags);
  }

  void expect_same(ImageNode& image, const std::vector<uint8_t>& model) {
    std::vector<uint8_t> content(model.size());
    const auto read = image.read(0, content);
    ASSERT_TRUE(read) << read.error().message();
    for (size_t i = 0; i < model.size(); ++i) ASSERT_EQ(content[i], model[i]) << "at " << i;
    expect_same_at_once(image, model);
  }
  // Where the node reads at once (most ranges, now that the tables were read), in pieces of odd sizes.
  void expect_same_at_once(ImageNode& image, const std::vector<uint8_t>& model) {
    for (uint64_t offset = 0; offset < model.size(); offset += 50'001) {
      std::vector<uint8_t> content(std::min<uint64_t>(100'000, model.size() - offset), 0xa5);
      const size_t first = std::min<size_t>(content.size(), 3000);
      const iovec pieces[] = {
          {content.data(), first}, {content.data(), 0}, {content.data() + first, content.size() - first}};
      if (!image.read_at_once(offset, pieces)) continue;
      for (size_t i = 0; i < content.size(); ++i)
        ASSERT_EQ(content[i], model[offset + i]) << "at " << offset + i;
    }
  }
  static void expect_sound(ImageNode& image) {
    const auto report = facet<Checker>(image)->check(Repair::None);
    ASSERT_TRUE(report) << report.error().message();
    for (const std::string& line : report->messages) ADD_FAILURE() << line;
    EXPECT_EQ(report->corruptions + report->leaks + report->check_errors, 0u);
  }

  std::string directory_;
  std::string name_;
};

struct Step {
  uint64_t offset;
  uint64_t length;
};

Step random_step(std::mt19937& random, uint64_t size) {
  const uint64_t offset = random() % size;
  const uint64_t most = random() % 4 == 0 ? 300000 : 5000;
  return {offset, std::min<uint64_t>(1 + random() % most, size - offset)};
}

Result<> random_change(ImageNode& image, std::vector<uint8_t>& model, std::mt19937& random) {
  const Step step = random_step(random, model.size());
  const auto at = model.begin() + static_cast<std::ptrdiff_t>(step.offset);
  if (random() % 4 != 0) {
    std::vector<uint8_t> data(step.length, static_cast<uint8_t>(1 + random() % 255));
    data.front() = static_cast<uint8_t>(random());
    std::ranges::copy(data, at);
    return image.write(step.offset, data);
  }
  std::fill_n(at, step.length, uint8_t{0});
  return image.write_zeroes(step.offset, step.length,
                            random() % 2 == 0 ? ZeroMode::MayUnmap : ZeroMode::KeepAllocated);
}

TEST_P(Qcow2Test, reads_what_was_written_after_reopening) {
  ASSERT_TRUE(create(name_, GetParam(), kSize));
  std::vector<uint8_t> model(kSize);
  std::mt19937 random(1);
  for (int round = 0; round < 4; ++round) {
    auto image = open(name_);
    ASSERT_TRUE(image) << image.error().message();
    for (int i = 0; i < 60; ++i) {
      const auto done = random_change(**image, model, random);
      ASSERT_TRUE(done) << done.error().message();
    }
    expect_same(**image, model);
    ASSERT_TRUE((*image)->close());
    image->reset();
    image = open(name_, false);
    ASSERT_TRUE(image) << image.error().message();
    expect_same(**image, model);
    expect_sound(**image);
  }
}

TEST_P(Qcow2Test, an_overlay_hides_its_backing_image_where_written) {
  ASSERT_TRUE(create(directory_ + "/base", GetParam(), kSize));
  std::vector<uint8_t> model(kSize);
  std::mt19937 random(2);
  {
    auto base = open(directory_ + "/base");
    ASSERT_TRUE(base);
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(random_change(**base, model, random));
    ASSERT_TRUE((*base)->close());
  }
  std::string options = GetParam();
  if (options.find("preallocation") != std::string::npos) GTEST_SKIP() << "not together with a backing image";
  options += (options.empty() ? "" : ",") + std::string("backing_fmt=qcow2,backing_file=") + "base";
  ASSERT_TRUE(create(name_, options, kSize));
  auto image = open(name_);
  ASSERT_TRUE(image) << image.error().message();
  expect_same(**image, model);
  for (int i = 0; i < 80; ++i) ASSERT_TRUE(random_change(**image, model, random));
  expect_same(**image, model);
  ASSERT_TRUE((*image)->close());
  expect_sound(**image);
}

TEST_P(Qcow2Test, snapshots_keep_what_was_there) {
  if (std::string(GetParam()).find("refcount_bits=1") != std::string::npos) GTEST_SKIP() << "counts reach 2";
  ASSERT_TRUE(create(name_, GetParam(), kSize));
  std::vector<uint8_t> model(kSize);
  std::mt19937 random(3);
  auto image = open(name_);
  ASSERT_TRUE(image);
  auto& store = *facet<SnapshotStore>(**image);
  std::vector<std::vector<uint8_t>> kept;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(random_change(**image, model, random));
    SnapshotInfo info;
    info.name = "s" + std::to_string(round);
    const auto made = store.create_snapshot(info);
    ASSERT_TRUE(made) << made.error().message();
    kept.push_back(model);
    expect_sound(**image);
  }
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(random_change(**image, model, random));
  expect_same(**image, model);
  ASSERT_TRUE(store.apply_snapshot("s1"));
  expect_same(**image, kept[1]);
  expect_sound(**image);
  ASSERT_TRUE(store.delete_snapshot("s0"));
  expect_sound(**image);
  expect_same(**image, kept[1]);
  ASSERT_TRUE(store.apply_snapshot("s2"));
  expect_same(**image, kept[2]);
  ASSERT_TRUE(store.delete_snapshot("s1"));
  ASSERT_TRUE(store.delete_snapshot("s2"));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(random_change(**image, kept[2], random));
  expect_same(**image, kept[2]);
  ASSERT_TRUE((*image)->close());
  expect_sound(**image);
}

TEST_P(Qcow2Test, sizes_change_and_compressed_clusters_read_back) {
  ASSERT_TRUE(create(name_, GetParam(), kSize));
  auto image = open(name_);
  ASSERT_TRUE(image);
  std::vector<uint8_t> model(kSize);
  auto& writer = *facet<CompressedWriter>(**image);
  const size_t unit = writer.compression_unit();
  for (size_t at = 0; at + unit <= kSize / 2; at += 2 * unit) {
    for (size_t i = 0; i < unit; ++i) model[at + i] = static_cast<uint8_t>(i / 100 + at);
    const auto plain = std::span<const uint8_t>(model).subspan(at, unit);
    const auto packed = writer.compress(plain);
    ASSERT_TRUE(packed);
    ASSERT_TRUE(writer.write_compressed(at, *packed, plain));
  }
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(random_change(**image, model, random));
  expect_same(**image, model);
  for (const uint64_t size : {kSize * 5, kSize / 2 + 512, kSize * 2}) {
    const auto done = (*image)->resize(size, Preallocation::Off);
    ASSERT_TRUE(done) << done.error().message();
    model.resize(size);
    expect_same(**image, model);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(random_change(**image, model, random));
    expect_same(**image, model);
    expect_sound(**image);
  }
  ASSERT_TRUE((*image)->close());
}

INSTANTIATE_TEST_SUITE_P(Options, Qcow2Test,
                         testing::Values("", "cluster_size=512", "cluster_size=4096,refcount_bits=64",
                                         "cluster_size=2M", "extended_l2=on",
                                         "extended_l2=on,cluster_size=16k", "compat=0.10", "refcount_bits=1",
                                         "preallocation=metadata", "compression_type=zstd",
                                         "lazy_refcounts=on"),
                         [](const auto& instance) {
                           std::string name = *instance.param == 0 ? "plain" : instance.param;
                           for (char& c : name) {
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace rhea::block
