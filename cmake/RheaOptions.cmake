# Warnings, hardening and sanitizers, one place for all targets.
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(RHEA_SANITIZE "" CACHE STRING "address,undefined or thread or empty")
option(RHEA_FUZZ "Build the *_fuzz.cc programs with libFuzzer (needs clang 19 or later)" OFF)

add_library(rhea_options INTERFACE)
target_include_directories(rhea_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(rhea_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wsuggest-override -fno-strict-aliasing)
if(RHEA_FUZZ)
  # Another compiler knows other warnings; the release preset's are the ones that count.
  target_compile_options(rhea_options INTERFACE
    -Wno-everything -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer)
  target_link_options(rhea_options INTERFACE -fsanitize=address,undefined)
else()
  target_compile_options(rhea_options INTERFACE -Werror)
endif()
if(RHEA_SANITIZE)
  # -g1: reports need lines, not variables.
  target_compile_options(rhea_options INTERFACE -fsanitize=${RHEA_SANITIZE} -fno-omit-frame-pointer -g1)
  target_link_options(rhea_options INTERFACE -fsanitize=${RHEA_SANITIZE})
  if(RHEA_SANITIZE STREQUAL "thread")
    target_compile_options(rhea_options INTERFACE -Wno-tsan -Wno-return-type)  # it sees no fences, and hides dead ends
  endif()
  if(RHEA_SANITIZE MATCHES undefined)
    target_compile_options(rhea_options INTERFACE -fno-sanitize-recover=undefined)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # _FORTIFY_SOURCE works with optimisation only, hence not in debug builds. CET: all of our code has its landing pads,
  # but the linker marks a program as protected only where the C library's start files are too (not Debian 12's).
  target_compile_options(rhea_options INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong -fcf-protection=full)
  target_link_options(rhea_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()

# For sources that translated code reaches: general registers only, and no calls to libc that the compiler makes up.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(RHEA_HOT_OPTIONS "-mgeneral-regs-only;-fno-tree-loop-distribute-patterns;-fno-exceptions")
else()
  # clang cannot read libstdc++'s headers without vector registers; it builds the fuzzers only, which translate nothing.
  set(RHEA_HOT_OPTIONS "-fno-exceptions")
endif()
# Sanitizer calls would clobber the vector registers.
if(RHEA_SANITIZE)
  list(APPEND RHEA_HOT_OPTIONS -fno-sanitize=all)
endif()
