// Counts ones by the processor's instruction, which every x86-64 since 2009 has. Verilator's shifts
// and masks take a fifth of the time of a binary network.
#pragma once
#ifdef __x86_64__
#pragma GCC target("popcnt")
#endif
#if defined(__x86_64__) || defined(__aarch64__)
#define VL_COUNTONES_I(bits) static_cast<IData>(__builtin_popcount(bits))
#define VL_COUNTONES_Q(bits) static_cast<IData>(__builtin_popcountll(bits))
#endif
