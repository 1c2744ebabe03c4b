#include "devices/irq/i8259.h"

#include <fmt/format.h>

namespace rhea::devices {

namespace {

constexpr unsigned kCascade = 2;
constexpr unsigned kSpurious = 7;

// ICW1, ICW4, OCW3.
constexpr uint8_t kIcw1 = 0x10, kIcw1Single = 0x02, kIcw1NeedsIcw4 = 0x01;
constexpr uint8_t kIcw4FullyNested = 0x10, kIcw4AutoEoi = 0x02;
constexpr uint8_t kOcw3 = 0x08, kOcw3EnableSpecialMask = 0x40, kOcw3SpecialMask = 0x20, kOcw3Poll = 0x04,
                  kOcw3ReadRegister = 0x02, kOcw3ReadIsr = 0x01;

// 290550 2.5.8: the timer, the keyboard, the cascade, the clock and the coprocessor are always edges.
constexpr uint8_t kLevelBitsFirst = 0xf8, kLevelBitsSecond = 0xde;

constexpr uint8_t bit(unsigned n) {
  return static_cast<uint8_t>(1u << n);
}

}  // namespace

void I8259Pair::Chip::visit(bus::StateVisitor& v, std::string_view name) {
  v.enter(name);
  v.field("irr", irr);
  v.field("imr", imr);
  v.field("isr", isr);
  v.field("lines", lines);
  v.field("level_mask", level_mask);
  v.field("lowest", lowest);
  v.field("base", base);
  v.field("icw3", icw3);
  v.field("init_step", init_step);
  v.field("wants_icw4", wants_icw4);
  v.field("single", single);
  v.field("auto_eoi", auto_eoi);
  v.field("rotate_auto", rotate_auto);
  v.field("special_mask", special_mask);
  v.field("fully_nested", fully_nested);
  v.field("poll", poll);
  v.field("read_isr", read_isr);
  v.leave();
  lowest &= 7;
}

// The requested input with the highest priority, which begins right after the lowest one.
std::optional<unsigned> I8259Pair::Chip::highest(unsigned requests) const {
  for (unsigned i = 1; i <= 8; ++i) {
    const unsigned input = (lowest + i) & 7;
    if ((requests >> input & 1) != 0) return input;
  }
  return std::nullopt;
}

// The input that drives INT: it must rank above whatever is in service.
std::optional<unsigned> I8259Pair::Chip::output() const {
  if (init_step != 0) return std::nullopt;
  unsigned in_service = isr;
  if (special_mask) in_service &= ~unsigned{imr};
  // Special fully nested: further requests from the second chip pass although one is in service.
  if (fully_nested) in_service &= ~unsigned{cascade};
  const auto request = highest(irr & ~unsigned{imr});
  if (!request) return std::nullopt;
  const auto serving = highest(in_service);
  if (!serving) return request;
  const auto rank = [this](unsigned input) { return (input - lowest - 1) & 7; };
  if (rank(*request) < rank(*serving)) return request;
  return std::nullopt;
}

void I8259Pair::Chip::drive(unsigned input, bool level) {
  const uint8_t mask = bit(input);
  const bool rising = level && (lines & mask) == 0;
  lines = static_cast<uint8_t>(level ? lines | mask : lines & ~mask);
  if ((level_mask & mask) != 0)
    irr = static_cast<uint8_t>(level ? irr | mask : irr & ~mask);
  else if (rising)
    irr |= mask;
}

// The cascade input is the second chip's INT as it is now; nothing is latched.
void I8259Pair::Chip::set_following(unsigned input, bool level) {
  const uint8_t mask = bit(input);
  irr = static_cast<uint8_t>(level ? irr | mask : irr & ~mask);
  lines = static_cast<uint8_t>(level ? lines | mask : lines & ~mask);
}

void I8259Pair::Chip::accept(unsigned input) {
  const uint8_t mask = bit(input);
  if (((level_mask | cascade) & mask) == 0) irr = static_cast<uint8_t>(irr & ~mask);
  if (!auto_eoi)
    isr |= mask;
  else if (rotate_auto)
    lowest = static_cast<uint8_t>(input);
}

void I8259Pair::Chip::initialize(uint8_t icw1) {
  irr = static_cast<uint8_t>(lines & (level_mask | cascade));
  imr = isr = 0;
  lowest = 7;
  icw3 = 0;
  auto_eoi = rotate_auto = special_mask = fully_nested = poll = read_isr = false;
  single = (icw1 & kIcw1Single) != 0;
  wants_icw4 = (icw1 & kIcw1NeedsIcw4) != 0;
  init_step = 2;
}

void I8259Pair::Chip::end(unsigned input, bool rotate) {
  isr = static_cast<uint8_t>(isr & ~bit(input));
  if (rotate) lowest = static_cast<uint8_t>(input);
}

void I8259Pair::Chip::operate2(uint8_t ocw2) {
  const unsigned level = ocw2 & 7;
  const bool rotate = (ocw2 & 0x80) != 0;
  switch (ocw2 >> 5 & 3) {  // SL, EOI
    case 0: rotate_auto = rotate; break;
    case 1: {  // non-specific
      unsigned in_service = isr;
      if (special_mask) in_service &= ~unsigned{imr};
      if (const auto input = highest(in_service)) end(*input, rotate);
      break;
    }
    case 2:
      if (rotate) lowest = static_cast<uint8_t>(level);
      break;
    default: end(level, rotate); break;
  }
}

void I8259Pair::Chip::operate3(uint8_t ocw3) {
  if ((ocw3 & kOcw3EnableSpecialMask) != 0) special_mask = (ocw3 & kOcw3SpecialMask) != 0;
  if ((ocw3 & kOcw3ReadRegister) != 0) read_isr = (ocw3 & kOcw3ReadIsr) != 0;
  if ((ocw3 & kOcw3Poll) != 0) poll = true;
}

void I8259Pair::Chip::write_command(uint8_t value) {
  if ((value & kIcw1) != 0)
    initialize(value);
  else if ((value & kOcw3) != 0)
    operate3(value);
  else
    operate2(value);
}

void I8259Pair::Chip::write_data(uint8_t value) {
  switch (init_step) {
    case 2:
      base = value & 0xf8;
      init_step = single ? (wants_icw4 ? 4 : 0) : 3;
      break;
    case 3:
      icw3 = value;
      init_step = wants_icw4 ? 4 : 0;
      break;
    case 4:
      fully_nested = (value & kIcw4FullyNested) != 0;
      auto_eoi = (value & kIcw4AutoEoi) != 0;
      init_step = 0;
      break;
    default: imr = value; break;
  }
}

uint8_t I8259Pair::Chip::read(bool data) {
  if (poll) {
    // The read after a poll command is the acknowledge.
    poll = false;
    const auto input = output();
    if (!input) return kSpurious;
    accept(*input);
    return static_cast<uint8_t>(0x80 | *input);
  }
  if (data) return imr;
  return read_isr ? isr : irr;
}

I8259Pair::I8259Pair(const Wiring& wiring) : wiring_(wiring) {
  first_.cascade = bit(kCascade);
}

void I8259Pair::reset(bus::ResetKind) {
  for (Chip* chip : {&first_, &second_}) {
    const uint8_t lines = chip->lines;
    const uint8_t cascade = chip->cascade;
    *chip = Chip{};
    chip->lines = lines;  // belongs to the devices; edges are not made up from it
    chip->cascade = cascade;
  }
  update();
}

void I8259Pair::state(bus::StateVisitor& v) {
  first_.visit(v, "first");
  second_.visit(v, "second");
  if (v.loading()) update();
}

void I8259Pair::update() {
  first_.set_following(kCascade, second_.output().has_value());
  wiring_.intr.set(first_.output().has_value());
}

void I8259Pair::set_irq(unsigned pin, bool level) {
  if (pin > 15 || pin == kCascade) return;
  Chip& chip = pin < 8 ? first_ : second_;
  if (level && (chip.lines >> (pin & 7) & 1) == 0) ++counts_[pin];
  chip.drive(pin & 7, level);
  update();
}

std::string I8259Pair::text() const {
  std::string text;
  for (int number : {1, 0}) {
    const Chip& chip = number == 0 ? first_ : second_;
    text += fmt::format(
        "pic{}: irr={:02x} imr={:02x} isr={:02x} hprio={} irq_base={:02x} rr_sel={} elcr={:02x} fnm={}\n",
        number, chip.irr, chip.imr, chip.isr, (chip.lowest + 1) & 7, chip.base, chip.read_isr ? 1 : 0,
        chip.level_mask, chip.fully_nested ? 1 : 0);
  }
  return text;
}

uint8_t I8259Pair::acknowledge_extint() {
  const auto input = first_.output();
  if (!input) return static_cast<uint8_t>(first_.base + kSpurious);
  first_.accept(*input);
  if (*input != kCascade || first_.single) {
    update();
    return static_cast<uint8_t>(first_.base + *input);
  }
  const auto second = second_.output();
  if (second) second_.accept(*second);
  update();
  return static_cast<uint8_t>(second_.base + second.value_or(kSpurious));
}

uint64_t I8259Pair::io_read(uint64_t offset, unsigned) {
  if (offset == kEdgeLevel) return first_.level_mask;
  if (offset == kEdgeLevel + 1) return second_.level_mask;
  if (offset > kEdgeLevel) return 0xff;
  const uint8_t value = (offset < kSecond ? first_ : second_).read((offset & 1) != 0);
  update();
  return value;
}

void I8259Pair::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  if (offset > kEdgeLevel + 1) return;
  Chip& chip = offset < kSecond || offset == kEdgeLevel ? first_ : second_;
  if (offset >= kEdgeLevel) {
    chip.level_mask = byte & (offset == kEdgeLevel ? kLevelBitsFirst : kLevelBitsSecond);
    chip.irr = static_cast<uint8_t>((chip.irr & ~chip.level_mask) | (chip.lines & chip.level_mask));
  } else if ((offset & 1) == 0) {
    chip.write_command(byte);
  } else {
    chip.write_data(byte);
  }
  update();
}

}  // namespace rhea::devices
