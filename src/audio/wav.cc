#include "audio/wav.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "audio/ring.h"
#include "base/endian.h"
#include "base/failf.h"
#include "base/log.h"

namespace rhea::audio {

namespace {

struct Header {
  char riff[4] = {'R', 'I', 'F', 'F'};
  le32 riff_size;
  char wave[4] = {'W', 'A', 'V', 'E'};
  char fmt[4] = {'f', 'm', 't', ' '};
  le32 fmt_size = 16u;
  le16 pcm = uint16_t{1};
  le16 channels;
  le32 rate, bytes_per_second;
  le16 bytes_per_frame, bits = uint16_t{16};
  char data[4] = {'d', 'a', 't', 'a'};
  le32 data_size;
};
static_assert(sizeof(Header) == 44);

// A thread writes, as a file may be slow.
class WavSink final : public Sink {
 public:
  WavSink(int fd, Format format)
      : fd_(fd),
        format_(format),
        ring_(size_t{format.rate} * format.channels * kSeconds),
        thread_([this] { main(); }) {}
  ~WavSink() override {
    ring_.stop();
    thread_.join();
    ::close(fd_);
  }
  void play(std::span<const int16_t> samples) override { ring_.put(samples); }

 private:
  static constexpr unsigned kSeconds = 4;

  void main() {
    std::array<int16_t, 4096> samples;
    const uint64_t second = uint64_t{2} * format_.rate * format_.channels;
    uint64_t headed = 0;
    write_header();
    while (ring_.wait()) {
      const size_t count = ring_.take(samples);
      append(std::span(samples).first(count));
      if (bytes_ - headed < second) continue;
      write_header();
      headed = bytes_;
    }
    write_header();
  }

  void append(std::span<const int16_t> samples) {
    constexpr uint64_t kMost = 0xffffff00;  // of a RIFF file
    const size_t size = samples.size() * 2;
    if (failed_ || bytes_ + size > kMost) return;
    const ssize_t written = ::pwrite(fd_, samples.data(), size, static_cast<off_t>(sizeof(Header) + bytes_));
    if (written == static_cast<ssize_t>(size)) {
      bytes_ += size;
    } else {
      failed_ = true;
      log_warn("audio: the wav file cannot be written: {}", errno_text(errno));
    }
  }

  void write_header() {
    const auto size = static_cast<uint32_t>(bytes_);
    Header header;
    header.riff_size = static_cast<uint32_t>(size + sizeof(Header) - 8);
    header.channels = static_cast<uint16_t>(format_.channels);
    header.rate = format_.rate;
    header.bytes_per_second = format_.rate * format_.channels * 2;
    header.bytes_per_frame = static_cast<uint16_t>(format_.channels * 2);
    header.data_size = size;
    if (::pwrite(fd_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) failed_ = true;
  }

  int fd_;
  Format format_;
  Ring ring_;
  uint64_t bytes_ = 0;
  bool failed_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Sink>> open_wav(const std::string& path, Format format) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return failf(ErrorKind::Io, "Failed to open wav file '{}': {}", path, errno_text(errno));
  return std::make_unique<WavSink>(fd, format);
}

}  // namespace rhea::audio
