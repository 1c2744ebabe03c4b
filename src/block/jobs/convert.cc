#include "block/jobs/convert.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/failf.h"
#include "block/facets.h"
#include "block/protocols/protocol.h"

namespace rhea::block {
namespace {

// Large enough that calls cost nothing, small enough that what was read is in the cache when it is written.
constexpr uint64_t kPiece = uint64_t{256} << 10;
constexpr uint64_t kSectorSize = 512;

// Lets threads through in the order of their numbers.
class Turnstile {
 public:
  void wait(uint64_t number) {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return next_ == number; });
  }
  void pass() {
    {
      const std::lock_guard lock(mutex_);
      ++next_;
    }
    turned_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable turned_;
  uint64_t next_ = 0;
};

struct Piece {
  enum class Kind { Data, Zero, Skip };
  uint64_t number = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  Kind kind = Kind::Data;
};

struct Run {
  uint64_t offset = 0;
  uint64_t length = 0;
  bool zero = false;
};

class Conversion {
 public:
  Conversion(std::span<ImageNode* const> sources, ImageNode& target, const ConvertOptions& options)
      : sources_(sources.begin(), sources.end()), target_(target), options_(options) {
    for (ImageNode* source : sources_) {
      starts_.push_back(total_);
      total_ += (source->size() + kSectorSize - 1) / kSectorSize * kSectorSize;
    }
    total_ = std::min(total_, target_.size());
    // Some formats have nothing but compressed data.
    if (options_.compress || target_.info().compressed) compressor_ = facet<CompressedWriter>(target_);
    reserver_ = facet<ReservingWriter>(target_);
    const uint64_t whole = target_.info().cluster_size.value_or(0);
    const uint64_t least =
        reserver_ != nullptr && reserver_->reserve_unit() != 0 ? reserver_->reserve_unit() : whole;
    unit_ = std::max<uint64_t>({kSectorSize, options_.sparse_size, least});
    if (compressor_ != nullptr) unit_ = compressor_->compression_unit();
    piece_ = std::max(kPiece / unit_ * unit_, unit_);
  }

  Result<> run() {
    const unsigned cores = std::max(2u, std::thread::hardware_concurrency());
    const unsigned count = std::clamp(options_.workers, 1u, cores);
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < count; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  void work() {
    std::vector<uint8_t> buffer(piece_);
    while (true) {
      const Result<std::optional<Piece>> piece = next_piece();
      if (!piece) {
        stop_with(UINT64_MAX, piece.error());
        return;
      }
      if (!*piece) return;
      const auto done = copy(**piece, buffer);
      if (!done) stop_with((*piece)->number, done.error());
      if (done) account(**piece);
    }
  }

  // Of several failures the first in the source is told, whichever thread was quicker.
  void stop_with(uint64_t number, const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_ || number < failed_piece_) {
      error_ = error;
      failed_piece_ = number;
    }
    position_ = total_;
  }

  // The next part of the source; neighbours of one kind together, all but the last in whole units.
  Result<std::optional<Piece>> next_piece() {
    const std::lock_guard lock(mutex_);
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed))
      return fail(ErrorKind::Cancelled, "interrupted");
    if (position_ >= total_ || error_) return std::nullopt;
    Piece out{.number = next_number_++, .offset = position_};
    const Piece::Kind kind = TRY(kind_at(position_));
    const uint64_t left = total_ - position_;
    const uint64_t known = known_end_ - position_;
    if (kind != Piece::Kind::Data && (known >= unit_ || known >= left)) {
      out.kind = kind;
      out.length = known >= left ? left : known / unit_ * unit_;
    } else {
      const uint64_t wanted = (std::min(known, piece_) + unit_ - 1) / unit_ * unit_;
      out.length = std::min({left, wanted, piece_});
    }
    position_ += out.length;
    return out;
  }

  Result<Piece::Kind> kind_at(uint64_t offset) {
    if (offset < known_end_) return known_kind_;
    const size_t index = source_at(offset);
    ImageNode& source = *sources_[index];
    const uint64_t inside = offset - starts_[index];
    const uint64_t end = index + 1 < starts_.size() ? starts_[index + 1] : total_;
    if (inside >= source.size()) {  // the last sector's rest
      known_end_ = end;
      known_kind_ = Piece::Kind::Zero;
      return known_kind_;
    }
    const uint64_t length = std::min(source.size() - inside, end - offset);
    ImageNode* base = options_.target_has_backing ? source.backing() : nullptr;
    auto there = chain_extent(source, inside, length, base);
    if (!there && !options_.salvage) return std::unexpected(there.error());
    if (!there)
      there = ChainExtent{.extent = {.length = length, .allocated = true, .data = true}, .depth = 0};
    const Extent& extent = there->extent;
    known_end_ = offset + extent.length;
    known_kind_ = Piece::Kind::Data;
    if (extent.zero) known_kind_ = Piece::Kind::Zero;
    if (!extent.allocated && options_.target_has_backing) known_kind_ = Piece::Kind::Skip;
    return known_kind_;
  }

  size_t source_at(uint64_t offset) const {
    return static_cast<size_t>(std::ranges::upper_bound(starts_, offset) - starts_.begin()) - 1;
  }

  // Reads from the sources as if they were one.
  Result<> read(uint64_t offset, std::span<uint8_t> into) {
    while (!into.empty()) {
      const size_t index = source_at(offset);
      ImageNode& source = *sources_[index];
      const uint64_t inside = offset - starts_[index];
      const uint64_t end = index + 1 < starts_.size() ? starts_[index + 1] : UINT64_MAX;
      const auto now = static_cast<size_t>(std::min<uint64_t>(into.size(), end - offset));
      const uint64_t present = inside < source.size() ? std::min<uint64_t>(now, source.size() - inside) : 0;
      if (present != 0) TRY(read_source(source, inside, into.first(present)));
      std::memset(into.data() + present, 0, now - present);
      into = into.subspan(now);
      offset += now;
    }
    return {};
  }

  Result<> read_source(ImageNode& source, uint64_t offset, std::span<uint8_t> into) {
    auto done = source.read(offset, into);
    if (done || !options_.salvage)
      return done ? Result<>()
                  : failf(done.error().kind(), "error while reading at byte {}: {}", offset,
                          done.error().message());
    if (into.size() > kSectorSize) {
      const size_t half = into.size() / 2 / kSectorSize * kSectorSize;
      const size_t first = half == 0 ? kSectorSize : half;
      TRY(read_source(source, offset, into.first(first)));
      return read_source(source, offset + first, into.subspan(first));
    }
    std::memset(into.data(), 0, into.size());
    const std::lock_guard lock(mutex_);
    if (options_.salvaged) options_.salvaged(offset, done.error());
    return {};
  }

  // Data and zeros of a piece that was read, in units.
  std::vector<Run> runs_of(const Piece& piece, std::span<const uint8_t> data) const {
    std::vector<Run> out;
    for (uint64_t at = 0; at < piece.length; at += unit_) {
      const uint64_t length = std::min(unit_, piece.length - at);
      const bool zero = options_.sparse_size != 0 && is_zero(data.subspan(at, length));
      if (!out.empty() && out.back().zero == zero) {
        out.back().length += length;
      } else {
        out.push_back({.offset = piece.offset + at, .length = length, .zero = zero});
      }
    }
    return out;
  }

  // A piece's turn; passed on at the end whatever happened, since those behind wait for it.
  struct Turn {
    Conversion& owner;
    const Piece& piece;
    bool taken = false;
    bool passed = false;
    void take() {
      if (!taken && !owner.options_.out_of_order) owner.turnstile_.wait(piece.number);
      taken = true;
    }
    void pass() {
      if (passed || owner.options_.out_of_order) return;
      take();
      owner.turnstile_.pass();
      passed = true;
    }
    ~Turn() { pass(); }
  };

  Result<> copy(const Piece& piece, std::span<uint8_t> buffer) {
    Turn turn{*this, piece};
    if (piece.kind == Piece::Kind::Skip) return {};
    if (piece.kind == Piece::Kind::Zero && options_.sparse_size != 0) {
      if (options_.target_is_zero) return {};
      turn.take();
      return write_zeros(piece.offset, piece.length);
    }
    if (piece.kind == Piece::Kind::Zero) return write_plain_zeros(piece, turn, buffer);
    const auto data = buffer.first(static_cast<size_t>(piece.length));
    if (options_.copy_offload && compressor_ == nullptr && TRY(copy_by_kernel(piece, turn))) return {};
    TRY(read(piece.offset, data));
    return compressor_ != nullptr ? write_packed(piece, turn, data) : write_runs(piece, turn, data);
  }

  Result<> write_zeros(uint64_t offset, uint64_t length) {
    return target_.write_zeroes(offset, length, ZeroMode::MayUnmap);
  }

  // With -S 0 even holes take space in the target.
  Result<> write_plain_zeros(const Piece& piece, Turn& turn, std::span<uint8_t> buffer) {
    std::ranges::fill(buffer, uint8_t{0});
    turn.take();
    for (uint64_t at = 0; at < piece.length; at += buffer.size()) {
      const auto now = static_cast<size_t>(std::min<uint64_t>(buffer.size(), piece.length - at));
      TRY(target_.write(piece.offset + at, buffer.first(now)));
    }
    return {};
  }

  Result<> write_runs(const Piece& piece, Turn& turn, std::span<const uint8_t> data) {
    const std::vector<Run> runs = runs_of(piece, data);
    turn.take();
    for (const Run& run : runs) {
      if (run.zero) {
        if (!options_.target_is_zero) TRY(write_zeros(run.offset, run.length));
      } else if (reserver_ != nullptr) {
        TRY(reserver_->reserve(run.offset, run.length));
      }
    }
    if (reserver_ != nullptr) turn.pass();
    for (const Run& run : runs) {
      if (run.zero) continue;
      const auto done = target_.write(run.offset, data.subspan(run.offset - piece.offset, run.length));
      if (!done)
        return failf(done.error().kind(), "error while writing at byte {}: {}", run.offset,
                     done.error().message());
    }
    return {};
  }

  Result<> write_packed(const Piece& piece, Turn& turn, std::span<const uint8_t> data) {
    std::vector<std::vector<uint8_t>> packed;
    std::vector<bool> zero;
    for (uint64_t at = 0; at < piece.length; at += unit_) {
      const auto plain = data.subspan(at, std::min(unit_, piece.length - at));
      zero.push_back(options_.sparse_size != 0 && is_zero(plain));
      packed.push_back(zero.back() ? std::vector<uint8_t>() : TRY(compressor_->compress(plain)));
    }
    turn.take();
    for (size_t i = 0; i < packed.size(); ++i) {
      const uint64_t at = i * unit_;
      const uint64_t length = std::min(unit_, piece.length - at);
      if (zero[i]) {
        if (!options_.target_is_zero) TRY(write_zeros(piece.offset + at, length));
        continue;
      }
      const auto done = compressor_->write_compressed(piece.offset + at, packed[i], data.subspan(at, length));
      if (!done)
        return failf(done.error().kind(), "error while writing at byte {}: {}", piece.offset + at,
                     done.error().message());
    }
    return {};
  }

  // Both sides plain, and the kernel willing: no byte passes through this process.
  Result<bool> copy_by_kernel(const Piece& piece, Turn& turn) {
    const size_t index = source_at(piece.offset);
    const uint64_t inside = piece.offset - starts_[index];
    ImageNode& source = *sources_[index];
    if (inside + piece.length > source.size()) return false;
    turn.take();
    if (reserver_ != nullptr) TRY(reserver_->reserve(piece.offset, piece.length));
    uint64_t done = 0;
    while (done < piece.length) {
      const Extent from = TRY(chain_extent(source, inside + done, piece.length - done)).extent;
      const Extent to = TRY(target_.extent(piece.offset + done, from.length));
      const auto* in = dynamic_cast<const ProtocolNode*>(from.file);
      const auto* out = dynamic_cast<const ProtocolNode*>(to.file);
      if (in == nullptr || out == nullptr || in->fd() < 0 || out->fd() < 0) return false;
      auto in_offset = static_cast<off_t>(from.file_offset);
      auto out_offset = static_cast<off_t>(to.file_offset);
      const ssize_t count = ::copy_file_range(in->fd(), &in_offset, out->fd(), &out_offset, to.length, 0);
      if (count <= 0) return false;
      done += static_cast<uint64_t>(count);
    }
    return true;
  }

  void account(const Piece& piece) {
    std::unique_lock lock(mutex_);
    done_ += piece.length;
    if (options_.progress) options_.progress(done_, total_);
    if (options_.rate_limit == 0 || piece.kind != Piece::Kind::Data) return;
    limited_ += piece.length;
    const auto due = started_ + std::chrono::duration<double>(static_cast<double>(limited_) /
                                                              static_cast<double>(options_.rate_limit));
    lock.unlock();
    std::this_thread::sleep_until(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(due));
  }

  std::vector<ImageNode*> sources_;
  std::vector<uint64_t> starts_;
  ImageNode& target_;
  const ConvertOptions& options_;
  CompressedWriter* compressor_ = nullptr;
  ReservingWriter* reserver_ = nullptr;
  uint64_t unit_ = 0;
  uint64_t piece_ = 0;
  uint64_t total_ = 0;
  Turnstile turnstile_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

  std::mutex mutex_;  // all below
  std::optional<Error> error_;
  uint64_t failed_piece_ = UINT64_MAX;
  uint64_t position_ = 0;
  uint64_t next_number_ = 0;
  uint64_t known_end_ = 0;
  Piece::Kind known_kind_ = Piece::Kind::Data;
  uint64_t done_ = 0;
  uint64_t limited_ = 0;
};

}  // namespace

Result<> convert(std::span<ImageNode* const> sources, ImageNode& target, const ConvertOptions& options) {
  return Conversion(sources, target, options).run();
}

}  // namespace rhea::block
