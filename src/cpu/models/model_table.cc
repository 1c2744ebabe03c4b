// Named CPU models and their versions, with the names, versions and feature sets by which QEMU users know
// them (facts as QEMU 7.2's model expansion reports them; the processors are described in their vendors'
// manuals).
#include "cpu/models/model_table.h"

namespace rhea::cpu {

namespace {

constexpr ModelRow kRows[] = {
    {"486-v1", "486", "", Vendor::Intel, 4, 8, 0, 0x1, 0x0, "fpu pse"},
    {"pentium-v1", "pentium", "", Vendor::Intel, 5, 4, 3, 0x1, 0x0,
     "fpu vme de pse tsc msr mce cx8 apic mmx"},
    {"pentium2-v1", "pentium2", "", Vendor::Intel, 6, 5, 2, 0x2, 0x0,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 mmx fxsr"},
    {"pentium3-v1", "pentium3", "", Vendor::Intel, 6, 7, 3, 0x3, 0x0,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 mmx fxsr sse"},
    {"athlon-v1", "athlon", "QEMU Virtual CPU version 2.5+", Vendor::Amd, 6, 2, 3, 0x2, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 mmx fxsr sse sse2 mmxext "
     "3dnowext 3dnow"},
    {"coreduo-v1", "coreduo", "Genuine Intel(R) CPU           T2600  @ 2.16GHz", Vendor::Intel, 6, 14, 8, 0xa,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat clflush acpi mmx fxsr sse sse2 ss "
     "pni "
     "monitor nx"},
    {"n270-v1", "n270", "Intel(R) Atom(TM) CPU N270   @ 1.60GHz", Vendor::Intel, 6, 28, 2, 0xa, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat clflush acpi mmx fxsr sse sse2 ss "
     "pni "
     "monitor ssse3 movbe lahf-lm nx"},
    {"core2duo-v1", "core2duo", "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz", Vendor::Intel, 6, 15, 11,
     0xa, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush acpi mmx fxsr sse sse2 "
     "ss pni monitor ssse3 cx16 lahf-lm syscall nx lm"},
    {"phenom-v1", "phenom", "AMD Phenom(tm) 9550 Quad-Core Processor", Vendor::Amd, 16, 2, 3, 0x5, 0x8000001a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "monitor cx16 popcnt lahf-lm svm abm sse4a syscall nx mmxext fxsr-opt pdpe1gb rdtscp lm 3dnowext 3dnow "
     "npt"},
    {"qemu32-v1", "qemu32", "QEMU Virtual CPU version 2.5+", Vendor::Intel, 6, 6, 3, 0x4, 0x80000004,
     "fpu vme de pse tsc msr pae mce cx8 apic sep pge cmov pat mmx fxsr sse sse2 pni"},
    {"qemu64-v1", "qemu64", "QEMU Virtual CPU version 2.5+", Vendor::Amd, 15, 107, 1, 0xd, 0x8000000a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "cx16 lahf-lm svm syscall nx lm"},
    {"kvm32-v1", "kvm32", "Common 32-bit KVM processor", Vendor::Intel, 15, 6, 1, 0x5, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni"},
    {"kvm64-v1", "kvm64", "Common KVM processor", Vendor::Intel, 15, 6, 1, 0xd, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "cx16 syscall nx lm"},
    {"Conroe-v1", "Conroe", "Intel Celeron_4x0 (Conroe/Merom Class Core 2)", Vendor::Intel, 6, 15, 3, 0xa,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "ssse3 lahf-lm syscall nx lm"},
    {"Penryn-v1", "Penryn", "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", Vendor::Intel, 6, 23, 3, 0xa,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "ssse3 cx16 sse4.1 lahf-lm syscall nx lm"},
    {"Nehalem-v1", "Nehalem", "Intel Core i7 9xx (Nehalem Class Core i7)", Vendor::Intel, 6, 26, 3, 0xb,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "ssse3 cx16 sse4.1 sse4.2 popcnt lahf-lm syscall nx lm"},
    {"Nehalem-v2", "Nehalem-IBRS", "Intel Core i7 9xx (Nehalem Core i7, IBRS update)", Vendor::Inherit, 6, 26,
     3, 0xb, 0x80000008, "+spec-ctrl"},
    {"Westmere-v1", "Westmere", "Westmere E56xx/L56xx/X56xx (Nehalem-C)", Vendor::Intel, 6, 44, 1, 0xb,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 cx16 sse4.1 sse4.2 popcnt aes arat lahf-lm syscall nx lm"},
    {"Westmere-v2", "Westmere-IBRS", "Westmere E56xx/L56xx/X56xx (IBRS update)", Vendor::Inherit, 6, 44, 1,
     0xb, 0x80000008, "+spec-ctrl"},
    {"SandyBridge-v1", "SandyBridge", "Intel Xeon E312xx (Sandy Bridge)", Vendor::Intel, 6, 42, 1, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 cx16 sse4.1 sse4.2 x2apic popcnt tsc-deadline aes xsave avx arat xsaveopt lahf-lm "
     "syscall nx rdtscp lm"},
    {"SandyBridge-v2", "SandyBridge-IBRS", "Intel Xeon E312xx (Sandy Bridge, IBRS update)", Vendor::Inherit,
     6, 42, 1, 0xd, 0x80000008, "+spec-ctrl"},
    {"IvyBridge-v1", "IvyBridge", "Intel Xeon E3-12xx v2 (Ivy Bridge)", Vendor::Intel, 6, 58, 9, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 cx16 sse4.1 sse4.2 x2apic popcnt tsc-deadline aes xsave avx f16c rdrand arat fsgsbase "
     "smep erms xsaveopt lahf-lm syscall nx rdtscp lm"},
    {"IvyBridge-v2", "IvyBridge-IBRS", "Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS)", Vendor::Inherit, 6, 58, 9,
     0xd, 0x80000008, "+spec-ctrl"},
    {"Haswell-v1", "Haswell", "Intel Core Processor (Haswell)", Vendor::Intel, 6, 60, 4, 0xd, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm xsaveopt lahf-lm abm syscall nx rdtscp lm"},
    {"Haswell-v2", "Haswell-noTSX", "Intel Core Processor (Haswell, no TSX)", Vendor::Inherit, 6, 60, 1, 0xd,
     0x80000008, "-hle -rtm"},
    {"Haswell-v3", "Haswell-IBRS", "Intel Core Processor (Haswell, IBRS)", Vendor::Inherit, 6, 60, 4, 0xd,
     0x80000008, "+hle +rtm +spec-ctrl"},
    {"Haswell-v4", "Haswell-noTSX-IBRS", "Intel Core Processor (Haswell, no TSX, IBRS)", Vendor::Inherit, 6,
     60, 1, 0xd, 0x80000008, "-hle -rtm"},
    {"Broadwell-v1", "Broadwell", "Intel Core Processor (Broadwell)", Vendor::Intel, 6, 61, 2, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm rdseed adx smap xsaveopt lahf-lm abm "
     "3dnowprefetch syscall nx rdtscp lm"},
    {"Broadwell-v2", "Broadwell-noTSX", "Intel Core Processor (Broadwell, no TSX)", Vendor::Inherit, 6, 61, 2,
     0xd, 0x80000008, "-hle -rtm"},
    {"Broadwell-v3", "Broadwell-IBRS", "Intel Core Processor (Broadwell, IBRS)", Vendor::Inherit, 6, 61, 2,
     0xd, 0x80000008, "+hle +rtm +spec-ctrl"},
    {"Broadwell-v4", "Broadwell-noTSX-IBRS", "Intel Core Processor (Broadwell, no TSX, IBRS)",
     Vendor::Inherit, 6, 61, 2, 0xd, 0x80000008, "-hle -rtm"},
    {"Skylake-Client-v1", "Skylake-Client", "Intel Core Processor (Skylake)", Vendor::Intel, 6, 94, 3, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm rdseed adx smap xsaveopt xsavec xgetbv1 lahf-lm "
     "abm 3dnowprefetch syscall nx rdtscp lm"},
    {"Skylake-Client-v2", "Skylake-Client-IBRS", "Intel Core Processor (Skylake, IBRS)", Vendor::Inherit, 6,
     94, 3, 0xd, 0x80000008, "+spec-ctrl"},
    {"Skylake-Client-v3", "Skylake-Client-noTSX-IBRS", "Intel Core Processor (Skylake, IBRS, no TSX)",
     Vendor::Inherit, 6, 94, 3, 0xd, 0x80000008, "-hle -rtm"},
    {"Skylake-Client-v4", "", "Intel Core Processor (Skylake, IBRS, no TSX)", Vendor::Inherit, 6, 94, 3, 0xd,
     0x80000008, "+xsaves"},
    {"Skylake-Server-v1", "Skylake-Server", "Intel Xeon Processor (Skylake)", Vendor::Intel, 6, 85, 4, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm avx512f avx512dq rdseed adx smap clflushopt "
     "clwb "
     "avx512cd avx512bw avx512vl pku xsaveopt xsavec xgetbv1 lahf-lm abm 3dnowprefetch syscall nx pdpe1gb "
     "rdtscp lm"},
    {"Skylake-Server-v2", "Skylake-Server-IBRS", "Intel Xeon Processor (Skylake, IBRS)", Vendor::Inherit, 6,
     85, 4, 0xd, 0x80000008, "+spec-ctrl -clflushopt"},
    {"Skylake-Server-v3", "Skylake-Server-noTSX-IBRS", "Intel Xeon Processor (Skylake, IBRS, no TSX)",
     Vendor::Inherit, 6, 85, 4, 0xd, 0x80000008, "-hle -rtm"},
    {"Skylake-Server-v4", "", "Intel Xeon Processor (Skylake, IBRS, no TSX)", Vendor::Inherit, 6, 85, 4, 0xd,
     0x80000008, ""},
    {"Skylake-Server-v5", "", "Intel Xeon Processor (Skylake, IBRS, no TSX)", Vendor::Inherit, 6, 85, 4, 0xd,
     0x80000008, "+xsaves"},
    {"Cascadelake-Server-v1", "Cascadelake-Server", "Intel Xeon Processor (Cascadelake)", Vendor::Intel, 6,
     85, 6, 0xd, 0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm avx512f avx512dq rdseed adx smap clflushopt "
     "clwb "
     "avx512cd avx512bw avx512vl pku avx512vnni spec-ctrl ssbd xsaveopt xsavec xgetbv1 lahf-lm abm "
     "3dnowprefetch syscall nx pdpe1gb rdtscp lm"},
    {"Cascadelake-Server-v2", "", "Intel Xeon Processor (Cascadelake)", Vendor::Inherit, 6, 85, 6, 0xd,
     0x80000008, "+arch-capabilities +rdctl-no +ibrs-all +skip-l1dfl-vmentry +mds-no"},
    {"Cascadelake-Server-v3", "Cascadelake-Server-noTSX", "Intel Xeon Processor (Cascadelake)",
     Vendor::Inherit, 6, 85, 6, 0xd, 0x80000008, "-hle -rtm"},
    {"Cascadelake-Server-v4", "", "Intel Xeon Processor (Cascadelake)", Vendor::Inherit, 6, 85, 6, 0xd,
     0x80000008, ""},
    {"Cascadelake-Server-v5", "", "Intel Xeon Processor (Cascadelake)", Vendor::Inherit, 6, 85, 6, 0xd,
     0x80000008, "+xsaves"},
    {"Cooperlake-v1", "Cooperlake", "Intel Xeon Processor (Cooperlake)", Vendor::Intel, 6, 85, 10, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm avx512f avx512dq rdseed adx smap clflushopt "
     "clwb "
     "avx512cd avx512bw avx512vl pku avx512vnni spec-ctrl stibp arch-capabilities ssbd avx512-bf16 xsaveopt "
     "xsavec xgetbv1 lahf-lm abm 3dnowprefetch syscall nx pdpe1gb rdtscp lm rdctl-no ibrs-all "
     "skip-l1dfl-vmentry mds-no pschange-mc-no taa-no"},
    {"Cooperlake-v2", "", "Intel Xeon Processor (Cooperlake)", Vendor::Inherit, 6, 85, 10, 0xd, 0x80000008,
     "+xsaves"},
    {"Icelake-Server-v1", "Icelake-Server", "Intel Xeon Processor (Icelake)", Vendor::Intel, 6, 134, 0, 0xd,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand "
     "arat fsgsbase bmi1 hle avx2 smep bmi2 erms invpcid rtm avx512f avx512dq rdseed adx smap clflushopt "
     "clwb "
     "avx512cd avx512bw avx512vl avx512vbmi umip pku avx512vbmi2 gfni vaes vpclmulqdq avx512vnni "
     "avx512bitalg "
     "avx512-vpopcntdq la57 spec-ctrl ssbd xsaveopt xsavec xgetbv1 lahf-lm abm 3dnowprefetch syscall nx "
     "pdpe1gb rdtscp lm wbnoinvd"},
    {"Icelake-Server-v2", "Icelake-Server-noTSX", "Intel Xeon Processor (Icelake)", Vendor::Inherit, 6, 134,
     0, 0xd, 0x80000008, "-hle -rtm"},
    {"Icelake-Server-v3", "", "Intel Xeon Processor (Icelake)", Vendor::Inherit, 6, 134, 0, 0xd, 0x80000008,
     "+arch-capabilities +rdctl-no +ibrs-all +skip-l1dfl-vmentry +mds-no +pschange-mc-no +taa-no"},
    {"Icelake-Server-v4", "", "Intel Xeon Processor (Icelake)", Vendor::Inherit, 6, 106, 0, 0xd, 0x80000008,
     "+avx512ifma +sha-ni +rdpid +fsrm"},
    {"Icelake-Server-v5", "", "Intel Xeon Processor (Icelake)", Vendor::Inherit, 6, 106, 0, 0xd, 0x80000008,
     "+xsaves"},
    {"Icelake-Server-v6", "", "Intel Xeon Processor (Icelake)", Vendor::Inherit, 6, 106, 0, 0xd, 0x80000008,
     ""},
    {"Denverton-v1", "Denverton", "Intel Atom Processor (Denverton)", Vendor::Intel, 6, 95, 1, 0x15,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq monitor ssse3 cx16 sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave rdrand arat "
     "fsgsbase smep erms mpx rdseed smap clflushopt sha-ni spec-ctrl arch-capabilities ssbd xsaveopt xsavec "
     "xgetbv1 lahf-lm 3dnowprefetch syscall nx pdpe1gb rdtscp lm rdctl-no skip-l1dfl-vmentry"},
    {"Denverton-v2", "", "Intel Atom Processor (Denverton)", Vendor::Inherit, 6, 95, 1, 0x15, 0x80000008,
     "-monitor -mpx"},
    {"Denverton-v3", "", "Intel Atom Processor (Denverton)", Vendor::Inherit, 6, 95, 1, 0x15, 0x80000008,
     "+xsaves"},
    {"Snowridge-v1", "Snowridge", "Intel Atom Processor (SnowRidge)", Vendor::Intel, 6, 134, 1, 0x1b,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq monitor ssse3 cx16 sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave rdrand arat "
     "fsgsbase smep erms mpx rdseed smap clflushopt clwb sha-ni umip gfni cldemote movdiri movdir64b "
     "spec-ctrl "
     "arch-capabilities core-capability ssbd xsaveopt xsavec xgetbv1 lahf-lm 3dnowprefetch syscall nx "
     "pdpe1gb "
     "rdtscp lm"},
    {"Snowridge-v2", "", "Intel Atom Processor (Snowridge, no MPX)", Vendor::Inherit, 6, 134, 1, 0x1b,
     0x80000008, "-mpx"},
    {"Snowridge-v3", "", "Intel Atom Processor (Snowridge, no MPX)", Vendor::Inherit, 6, 134, 1, 0x1b,
     0x80000008, "+xsaves"},
    {"Snowridge-v4", "", "Intel Atom Processor (Snowridge, no MPX)", Vendor::Inherit, 6, 134, 1, 0x1b,
     0x80000008, "-core-capability"},
    {"Opteron_G1-v1", "Opteron_G1", "AMD Opteron 240 (Gen 1 Class Opteron)", Vendor::Amd, 15, 6, 1, 0x5,
     0x80000008,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "syscall nx lm"},
    {"Opteron_G2-v1", "Opteron_G2", "AMD Opteron 22xx (Gen 2 Class Opteron)", Vendor::Amd, 15, 6, 1, 0x5,
     0x8000000a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "cx16 lahf-lm svm syscall nx lm"},
    {"Opteron_G3-v1", "Opteron_G3", "AMD Opteron 23xx (Gen 3 Class Opteron)", Vendor::Amd, 16, 2, 3, 0x5,
     0x8000000a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "monitor cx16 popcnt lahf-lm svm abm sse4a misalignsse syscall nx rdtscp lm"},
    {"Opteron_G4-v1", "Opteron_G4", "AMD Opteron 62xx class CPU", Vendor::Amd, 21, 1, 2, 0xd, 0x8000001a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 cx16 sse4.1 sse4.2 popcnt aes xsave avx lahf-lm svm abm sse4a misalignsse "
     "3dnowprefetch "
     "xop fma4 syscall nx pdpe1gb rdtscp lm npt nrip-save"},
    {"Opteron_G5-v1", "Opteron_G5", "AMD Opteron 63xx class CPU", Vendor::Amd, 21, 2, 0, 0xd, 0x8000001a,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq ssse3 fma cx16 sse4.1 sse4.2 popcnt aes xsave avx f16c lahf-lm svm abm sse4a misalignsse "
     "3dnowprefetch xop fma4 tbm syscall nx pdpe1gb rdtscp lm npt nrip-save"},
    {"EPYC-v1", "EPYC", "AMD EPYC Processor", Vendor::Amd, 23, 1, 2, 0xd, 0x8000001e,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq monitor ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand arat fsgsbase "
     "bmi1 "
     "avx2 smep bmi2 rdseed adx smap clflushopt sha-ni xsaveopt xsavec xgetbv1 lahf-lm svm cr8legacy abm "
     "sse4a "
     "misalignsse 3dnowprefetch osvw topoext syscall nx mmxext fxsr-opt pdpe1gb rdtscp lm npt nrip-save"},
    {"EPYC-v2", "EPYC-IBPB", "AMD EPYC Processor (with IBPB)", Vendor::Inherit, 23, 1, 2, 0xd, 0x8000001e,
     "+ibpb"},
    {"EPYC-v3", "", "AMD EPYC Processor", Vendor::Inherit, 23, 1, 2, 0xd, 0x8000001e,
     "+xsaves +perfctr-core +clzero +xsaveerptr"},
    {"EPYC-Rome-v1", "EPYC-Rome", "AMD EPYC-Rome Processor", Vendor::Amd, 23, 49, 0, 0xd, 0x8000001e,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq monitor ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand arat fsgsbase "
     "bmi1 "
     "avx2 smep bmi2 rdseed adx smap clflushopt clwb sha-ni umip rdpid xsaveopt xsavec xgetbv1 xsaves "
     "lahf-lm "
     "svm cr8legacy abm sse4a misalignsse 3dnowprefetch osvw topoext perfctr-core syscall nx mmxext fxsr-opt "
     "pdpe1gb rdtscp lm clzero xsaveerptr wbnoinvd ibpb amd-stibp npt nrip-save"},
    {"EPYC-Rome-v2", "", "AMD EPYC-Rome Processor", Vendor::Inherit, 23, 49, 0, 0xd, 0x8000001e,
     "+ibrs +amd-ssbd"},
    {"EPYC-Milan-v1", "EPYC-Milan", "AMD EPYC-Milan Processor", Vendor::Amd, 25, 1, 1, 0xd, 0x8000001e,
     "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 pni "
     "pclmulqdq monitor ssse3 fma cx16 pcid sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand arat "
     "fsgsbase "
     "bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb sha-ni umip pku rdpid fsrm xsaveopt "
     "xsavec xgetbv1 xsaves lahf-lm svm cr8legacy abm sse4a misalignsse 3dnowprefetch osvw topoext "
     "perfctr-core syscall nx mmxext fxsr-opt pdpe1gb rdtscp lm clzero xsaveerptr wbnoinvd ibpb ibrs "
     "amd-stibp "
     "amd-ssbd npt nrip-save svme-addr-chk"},
};

}  // namespace

std::span<const ModelRow> model_rows() {
  return kRows;
}

}  // namespace rhea::cpu
