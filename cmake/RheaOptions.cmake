# Warnings, hardening and sanitizers, one place for all targets.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(RHEA_SANITIZE "" CACHE STRING "address,undefined or thread or empty")

add_library(rhea_options INTERFACE)
target_include_directories(rhea_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(rhea_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wsuggest-override -Werror -fno-strict-aliasing)
if(RHEA_SANITIZE)
  target_compile_options(rhea_options INTERFACE -fsanitize=${RHEA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(rhea_options INTERFACE -fsanitize=${RHEA_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(rhea_options INTERFACE
    -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong -fcf-protection=full)
  target_link_options(rhea_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack -pie)
endif()
