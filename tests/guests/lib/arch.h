// Processor primitives for the guest test kernels: registers, ports, MSRs and
// descriptor layouts. Intel SDM volume 3A chapters 2, 3 and 6. Shared by the
// 32-bit and the 64-bit kernel; Word is the natural register.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using Word = unsigned long;

#ifdef __x86_64__
constexpr bool k64Bit = true;
#else
constexpr bool k64Bit = false;
#endif

// Exception vectors.
enum : Word {
  kDE = 0,
  kDB = 1,
  kNMI = 2,
  kBP = 3,
  kOF = 4,
  kBR = 5,
  kUD = 6,
  kNM = 7,
  kDF = 8,
  kTS = 10,
  kNP = 11,
  kSS = 12,
  kGP = 13,
  kPF = 14,
  kMF = 16,
  kAC = 17,
  kXM = 19,
  kUserExit = 0x81,
  kNoTrap = ~Word{0},
};

// Flags.
enum : Word {
  kCf = 1,
  kPf = 4,
  kAf = 0x10,
  kZf = 0x40,
  kSf = 0x80,
  kTf = 0x100,
  kIf = 0x200,
  kDf = 0x400,
  kOf = 0x800,
  kIopl = 0x3000,
  kNt = 0x4000,
  kRf = 0x10000,
  kVm = 0x20000,
  kAcFlag = 0x40000,
  kVif = 0x80000,
  kVip = 0x100000,
  kId = 0x200000,
};

// CR0 and CR4 bits.
enum : Word {
  kCr0Pe = 1,
  kCr0Mp = 2,
  kCr0Em = 4,
  kCr0Ts = 8,
  kCr0Ne = 0x20,
  kCr0Wp = 0x10000,
  kCr0Am = 0x40000,
  kCr0Nw = 0x20000000,
  kCr0Cd = 0x40000000,
  kCr0Pg = 0x80000000,
  kCr4Vme = 1,
  kCr4Pvi = 2,
  kCr4Tsd = 4,
  kCr4De = 8,
  kCr4Pse = 0x10,
  kCr4Pae = 0x20,
  kCr4Pge = 0x80,
  kCr4Pce = 0x100,
  kCr4Osfxsr = 0x200,
  kCr4Osxmmexcpt = 0x400,
  kCr4Umip = 0x800,
  kCr4La57 = 0x1000,
  kCr4Fsgsbase = 0x10000,
  kCr4Pcide = 0x20000,
  kCr4Osxsave = 0x40000,
  kCr4Smep = 0x100000,
  kCr4Smap = 0x200000,
  kCr4Pke = 0x400000,
};

enum : u32 {
  kMsrApicBase = 0x1b,
  kMsrSysenterCs = 0x174,
  kMsrSysenterEsp = 0x175,
  kMsrSysenterEip = 0x176,
  kMsrDebugctl = 0x1d9,
  kMsrPat = 0x277,
  kMsrTscDeadline = 0x6e0,
  kMsrXss = 0xda0,
  kMsrEfer = 0xc0000080,
  kMsrStar = 0xc0000081,
  kMsrLstar = 0xc0000082,
  kMsrCstar = 0xc0000083,
  kMsrFmask = 0xc0000084,
  kMsrFsBase = 0xc0000100,
  kMsrGsBase = 0xc0000101,
  kMsrKernelGsBase = 0xc0000102,
  kMsrTscAux = 0xc0000103,
};
enum : u64 { kEferSce = 1, kEferLme = 0x100, kEferLma = 0x400, kEferNxe = 0x800 };

// Selectors of the kernels' GDT (lib/trap.cc). SYSRET wants code32, data, code64 in a row.
enum : u16 {
  kSelCode = 0x08,
  kSelData = 0x10,
  kSelUserCode32 = 0x1b,
  kSelUserData = 0x23,
  kSelUserCode64 = 0x2b,
  kSelCode32 = 0x30,
  kSelCode16 = 0x38,
  kSelData16 = 0x40,
  kSelTest = 0x60,
  kSelTss = 0x400,
};
#ifdef __x86_64__
constexpr u16 kSelUserCode = kSelUserCode64;
#else
constexpr u16 kSelUserCode = kSelUserCode32;
#endif

inline void out8(u16 port, u8 v) {
  asm volatile("outb %0,%1" ::"a"(v), "Nd"(port) : "memory");
}
inline void out16(u16 port, u16 v) {
  asm volatile("outw %0,%1" ::"a"(v), "Nd"(port) : "memory");
}
inline void out32(u16 port, u32 v) {
  asm volatile("outl %0,%1" ::"a"(v), "Nd"(port) : "memory");
}
inline u8 in8(u16 port) {
  u8 v;
  asm volatile("inb %1,%0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}
inline u16 in16(u16 port) {
  u16 v;
  asm volatile("inw %1,%0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}
inline u32 in32(u16 port) {
  u32 v;
  asm volatile("inl %1,%0" : "=a"(v) : "Nd"(port) : "memory");
  return v;
}

#define REGISTER_ACCESSORS(reg)                               \
  inline Word read_##reg() {                                  \
    Word v;                                                   \
    asm volatile("mov %%" #reg ",%0" : "=r"(v) : : "memory"); \
    return v;                                                 \
  }                                                           \
  inline void write_##reg(Word v) {                           \
    asm volatile("mov %0,%%" #reg ::"r"(v) : "memory");       \
  }
REGISTER_ACCESSORS(cr0)
REGISTER_ACCESSORS(cr2)
REGISTER_ACCESSORS(cr3)
REGISTER_ACCESSORS(cr4)
REGISTER_ACCESSORS(dr0)
REGISTER_ACCESSORS(dr1)
REGISTER_ACCESSORS(dr2)
REGISTER_ACCESSORS(dr3)
REGISTER_ACCESSORS(dr6)
REGISTER_ACCESSORS(dr7)
#ifdef __x86_64__
REGISTER_ACCESSORS(cr8)
#endif
#undef REGISTER_ACCESSORS

inline u64 read_msr(u32 msr) {
  u32 lo, hi;
  asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
  return u64{hi} << 32 | lo;
}
inline void write_msr(u32 msr, u64 v) {
  asm volatile("wrmsr" ::"a"(static_cast<u32>(v)), "d"(static_cast<u32>(v >> 32)), "c"(msr) : "memory");
}

struct CpuidResult {
  u32 a, b, c, d;
};
inline CpuidResult cpuid(u32 leaf, u32 sub = 0) {
  CpuidResult r;
  asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub) : "memory");
  return r;
}
inline u32 cpuid_max(u32 base = 0) {
  return cpuid(base).a;
}
inline CpuidResult cpuid7() {
  return cpuid_max() >= 7 ? cpuid(7) : CpuidResult{0, 0, 0, 0};
}

inline u64 rdtsc() {
  u32 lo, hi;
  asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
  return u64{hi} << 32 | lo;
}
inline Word read_flags() {
  Word v;
  asm volatile("pushf; pop %0" : "=r"(v) : : "memory");
  return v;
}
inline void write_flags(Word v) {
  asm volatile("push %0; popf" ::"r"(v) : "memory", "cc");
}
inline void cli() {
  asm volatile("cli" ::: "memory");
}
inline void sti() {
  asm volatile("sti" ::: "memory");
}
inline void pause() {
  asm volatile("pause" ::: "memory");
}
inline void invlpg(const volatile void* p) {
  asm volatile("invlpg (%0)" ::"r"(p) : "memory");
}
inline void barrier() {
  asm volatile("" ::: "memory");
}

struct [[gnu::packed]] TablePointer {
  u16 limit;
  Word base;
};
inline void lgdt(const TablePointer& p) {
  asm volatile("lgdt %0" ::"m"(p));
}
inline void lidt(const TablePointer& p) {
  asm volatile("lidt %0" ::"m"(p));
}
inline TablePointer sgdt() {
  TablePointer p;
  asm volatile("sgdt %0" : "=m"(p));
  return p;
}
inline TablePointer sidt() {
  TablePointer p;
  asm volatile("sidt %0" : "=m"(p));
  return p;
}
inline void ltr(u16 sel) {
  asm volatile("ltr %0" ::"r"(sel) : "memory");
}
inline void lldt(u16 sel) {
  asm volatile("lldt %0" ::"r"(sel) : "memory");
}

// Descriptor bits 32-63, for code and data: access byte at 8, AVL/L/DB/G at 20.
enum : u32 {
  kDescAccessed = 0x100,
  kDescWrite = 0x200,
  kDescRead = 0x200,
  kDescDown = 0x400,
  kDescConforming = 0x400,
  kDescCode = 0x800,
  kDescS = 0x1000,
  kDescDpl3 = 0x6000,
  kDescP = 0x8000,
  kDescL = 0x200000,
  kDescDb = 0x400000,
  kDescG = 0x800000,
};
inline u64 make_descriptor(u32 base, u32 limit, u32 bits) {
  return (u64{(base & 0xff000000) | (limit & 0xf0000) | bits | ((base >> 16) & 0xff)} << 32) | (base << 16) |
         (limit & 0xffff);
}

inline void* memset(void* d, int v, unsigned long n) {
  void* r = d;
  asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(v) : "memory");
  return r;
}
inline void copy(void* d, const void* s, unsigned long n) {
  asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}
