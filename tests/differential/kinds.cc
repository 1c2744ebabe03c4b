#include "kinds.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <sys/mman.h>

namespace rhea::differential {

namespace {

using dbt::Action;

// Different by nature on the two sides, or not to be done to this process.
bool differs_by_nature(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW: return true;
    default: return false;
  }
}

bool leaves_the_process(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_RSM: return true;
    default: return false;
  }
}

bool is_segment(const ZydisDecodedOperand& op) {
  return op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
         ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

}  // namespace

const char* excluded(const Template& t, Mode mode) {
  if (t.form == nullptr || t.form->mnemonic != t.mnemonic) return "not in the table";
  if (differs_by_nature(t.mnemonic)) return "differs by nature";
  if (leaves_the_process(t.mnemonic)) return "enters the host's kernel";
  bool branch = t.form->action == Action::Rewrite && (t.mandatory == 0x66 || t.second_prefix == 0x66);
  if (mode == Mode::Long64 && branch && is_near_branch(t.mnemonic))
    return "depends on the vendor: operand size of near branches in 64-bit mode";
  bool far_pointer = t.mnemonic == ZYDIS_MNEMONIC_LFS || t.mnemonic == ZYDIS_MNEMONIC_LGS ||
                     t.mnemonic == ZYDIS_MNEMONIC_LSS || t.form->pattern == dbt::Pattern::Far;
  if (far_pointer && t.wide) return "depends on the vendor: REX.W with far pointers in memory";
  bool kmov = t.mnemonic == ZYDIS_MNEMONIC_KMOVD && t.wide && !t.memory;
  if (kmov && mode != Mode::Long64) return "moves 64 bits of general registers on this CPU";
  bool push_segment = t.mnemonic == ZYDIS_MNEMONIC_PUSH && !t.has_modrm &&
                      t.form->action != Action::Rewrite && t.form->action != Action::Copy;
  if (push_segment && !measured_host()) return "whether all of the operand is written depends on the CPU";
  bool base = t.mnemonic == ZYDIS_MNEMONIC_WRFSBASE || t.mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
  if (base && wide_addresses()) return "accepts addresses of 57 bits";
  if (t.mnemonic == ZYDIS_MNEMONIC_INT1) return "KVM on AMD reports its #DB at the instruction";
  bool loop =
      t.map == 0 && (t.opcode == 0xe0 || t.opcode == 0xe1) && t.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
  if (loop && t.mandatory >= 0xf2) return "F2 and F3 change LOOPcc's condition on some CPUs, undocumented";
  return nullptr;
}

Kind kind_of(const Decoded& d) {
  if (image_of(d) != Image::None) return Kind::Image;
  switch (d.z.mnemonic) {
    case ZYDIS_MNEMONIC_MOV: return is_segment(d.operands[0]) ? Kind::LoadSegment : Kind::Plain;
    case ZYDIS_MNEMONIC_POP: return is_segment(d.operands[0]) ? Kind::PopSegment : Kind::Plain;
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS: return Kind::FarPointer;
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ: return Kind::Iret;
    case ZYDIS_MNEMONIC_RET:
      return d.z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? Kind::FarReturn : Kind::Plain;
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_JMP:
      if (d.z.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR) return Kind::Plain;
      return d.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? Kind::FarIndirect : Kind::FarDirect;
    default: return Kind::Plain;
  }
}

Image image_of(const Decoded& d) {
  switch (d.z.mnemonic) {
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FNSTENV: return d.z.operand_width == 16 ? Image::Env16 : Image::Env32;
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64: return Image::Fxsave;
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64: return Image::Xsavec;
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64: return Image::Xsave;
    default: return Image::None;
  }
}

uint8_t traits_of(const Template& t, const Decoded& d, Mode mode) {
  unsigned traits = 0;
  if (t.form->action == Action::HelpFull || is_compress(t.mnemonic)) traits |= trait::kMasked;
  bool far = d.z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
  if (far || several_pieces(t.mnemonic)) traits |= trait::kSeveral;
  bool near = t.form->action == Action::Rewrite && is_near_branch(t.mnemonic);
  if (near && mode == Mode::Segmented16) traits |= trait::kNearBranch;
  if (t.form->unit != dbt::Unit::Integer) traits |= trait::kVector;
  // Whether their ModRM byte is fetched depends on the CPU.
  bool invalid = t.mnemonic == ZYDIS_MNEMONIC_UD0 || t.mnemonic == ZYDIS_MNEMONIC_UD1;
  if (invalid) traits |= trait::kInvalid;
  return static_cast<uint8_t>(traits);
}

uint16_t helped_undefined_flags(const Template& t, const Decoded& d) {
  bool copied = t.form->action == Action::Copy || t.form->action == Action::Nop;
  if (copied || d.z.cpu_flags == nullptr) return 0;
  return static_cast<uint16_t>(d.z.cpu_flags->undefined & kStatusFlags);
}

bool measured_host() {
  static const bool measured = [] {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    __get_cpuid(0, &eax, &ebx, &ecx, &edx);
    bool amd = ebx == 0x68747541;  // "Auth"
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    return amd && ((eax >> 8 & 15) + (eax >> 20 & 255)) == 0x19;
  }();
  return measured;
}

bool wide_addresses() {
  static const bool wide = [] {
    constexpr uintptr_t kBeyond = uintptr_t{1} << 50;
    constexpr size_t kPage = 4096;
    void* got = mmap(reinterpret_cast<void*>(kBeyond), kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got != MAP_FAILED) munmap(got, kPage);
    return got == reinterpret_cast<void*>(kBeyond);
  }();
  return wide;
}

bool is_near_branch(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_MOV: return false;
    default: return true;
  }
}

bool several_pieces(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_VGATHERDPS:
    case ZYDIS_MNEMONIC_VGATHERDPD:
    case ZYDIS_MNEMONIC_VGATHERQPS:
    case ZYDIS_MNEMONIC_VGATHERQPD:
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VPGATHERQQ:
    case ZYDIS_MNEMONIC_VSCATTERDPS:
    case ZYDIS_MNEMONIC_VSCATTERDPD:
    case ZYDIS_MNEMONIC_VSCATTERQPS:
    case ZYDIS_MNEMONIC_VSCATTERQPD:
    case ZYDIS_MNEMONIC_VPSCATTERDD:
    case ZYDIS_MNEMONIC_VPSCATTERDQ:
    case ZYDIS_MNEMONIC_VPSCATTERQD:
    case ZYDIS_MNEMONIC_VPSCATTERQQ: return true;
    default: return false;
  }
}

bool is_compress(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VCOMPRESSPS:
    case ZYDIS_MNEMONIC_VCOMPRESSPD:
    case ZYDIS_MNEMONIC_VPCOMPRESSB:
    case ZYDIS_MNEMONIC_VPCOMPRESSW:
    case ZYDIS_MNEMONIC_VPCOMPRESSD:
    case ZYDIS_MNEMONIC_VPCOMPRESSQ:
    case ZYDIS_MNEMONIC_VEXPANDPS:
    case ZYDIS_MNEMONIC_VEXPANDPD:
    case ZYDIS_MNEMONIC_VPEXPANDB:
    case ZYDIS_MNEMONIC_VPEXPANDW:
    case ZYDIS_MNEMONIC_VPEXPANDD:
    case ZYDIS_MNEMONIC_VPEXPANDQ: return true;
    default: return false;
  }
}

}  // namespace rhea::differential
