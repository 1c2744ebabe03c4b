// The kernel's KVM interface, as C++ sees it. The headers declare trailing arrays through an empty struct,
// which has size 0 in C and 1 in C++: that shifts the arrays and changes the request numbers, which contain
// sizes.
#pragma once

#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]
#include <linux/kvm.h>

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_xsave) == 4096);
