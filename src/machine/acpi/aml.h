// ACPI Machine Language as values: every construct is a function from terms to a term, so that a definition
// block reads like its source. ACPI 6.4 chapter 20 (AML encoding). Only what the board's DSDT needs is here;
// names and numbers are ours, never the guest's, so a wrong one is a CHECK.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace rhea::machine::aml {

struct Term {
  std::vector<uint8_t> bytes;
};
using Terms = std::vector<Term>;

// Data. integer() takes the shortest encoding.
Term integer(uint64_t value);
Term string(std::string_view text);
Term eisa_id(std::string_view id);  // "PNP0A03"
Term buffer(std::span<const uint8_t> data);
Term package(const Terms& elements);
// A path such as "_CRS", "^PRQ0" or "\\_SB.PCI0.ISA"; segments are padded to four characters.
Term path(std::string_view text);
Term arg(unsigned index);
Term local(unsigned index);

// Named objects.
Term name(std::string_view at, const Term& value);
Term scope(std::string_view at, const Terms& body);
Term device(std::string_view at, const Terms& body);
Term method(std::string_view at, unsigned arguments, const Terms& body, bool serialized = false);
Term processor(std::string_view at, uint8_t id, uint32_t block, uint8_t block_length, const Terms& body);
enum class Space : uint8_t { SystemMemory = 0, SystemIo = 1, PciConfig = 2 };
Term operation_region(std::string_view at, Space space, const Term& offset, const Term& length);
enum class Access : uint8_t { Any = 0, Byte = 1, Word = 2, DWord = 3 };
struct FieldUnit {
  std::string_view name;  // empty: reserved bits
  unsigned bits;
};
Term field(std::string_view region, Access access, std::initializer_list<FieldUnit> units);
Term mutex(std::string_view at);
Term create_dword_field(const Term& source, const Term& byte_index, std::string_view at);

// Statements and expressions. Results go nowhere unless a target is given.
Term store(const Term& value, const Term& target);
Term bit_and(const Term& a, const Term& b, const Term& target = {});
Term bit_or(const Term& a, const Term& b, const Term& target = {});
Term add(const Term& a, const Term& b, const Term& target = {});
Term index(const Term& object, const Term& at);
Term less(const Term& a, const Term& b);
Term equal(const Term& a, const Term& b);
Term if_(const Term& condition, const Terms& body);
Term else_(const Terms& body);
Term return_(const Term& value);
Term notify(const Term& device, unsigned value);
Term acquire(std::string_view mutex);  // waits as long as it takes
Term release(std::string_view mutex);
Term call(std::string_view at, const Terms& arguments);

// Resource descriptors (ACPI 6.4 section 6.4), to be put into resources().
Term io(uint16_t min, uint16_t max, uint8_t alignment, uint8_t length);
Term dma(unsigned channel);  // compatible, 8 bits, no bus master
Term irq(unsigned number);   // edge, active high, exclusive
Term interrupt_level_high_shared(std::initializer_list<uint32_t> gsis);
Term memory32_fixed(uint32_t base, uint32_t length, bool writable);
Term bus_range(uint16_t min, uint16_t max);
Term io_window(uint16_t min, uint16_t max);
Term memory_window32(uint32_t min, uint32_t max, bool cacheable);
Term memory_window64(uint64_t min, uint64_t max);
Term resources(const Terms& descriptors);  // a buffer with the end tag

}  // namespace rhea::machine::aml
