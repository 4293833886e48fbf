// Which instructions to use: chosen when the program runs, so one binary serves every processor.
//
// All levels give the same integers. A loop that the compiler vectorises by itself is compiled for
// every level by dispatch(); kernels with instructions of their own stand in *_kernels.hpp.
#pragma once

#include <stdexcept>
#include <string>

#if defined(__x86_64__) && defined(__GNUC__)
#define USE_X86 1
#include <immintrin.h>
#else
#define USE_X86 0
#endif

// What is between AVX2_CODE and END_CODE may use AVX2, and so on.
#define AVX2_TARGET "avx2,bmi,bmi2,popcnt"
#define AVX512_TARGET \
    "avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni"
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_CODE(instructions) \
    PRAGMA(clang attribute push(__attribute__((target(instructions))), apply_to = function))
#define END_CODE _Pragma("clang attribute pop")
#else
#define TARGET_CODE(instructions) _Pragma("GCC push_options") PRAGMA(GCC target(instructions))
#define END_CODE _Pragma("GCC pop_options")
#endif
#define AVX2_CODE TARGET_CODE(AVX2_TARGET)
#define AVX512_CODE TARGET_CODE(AVX512_TARGET)

enum class Simd { portable, avx2, avx512 };

inline const char* name_of(Simd level) {
    return level == Simd::avx512 ? "avx512" : level == Simd::avx2 ? "avx2" : "portable";
}

// The most that this processor can do.
inline Simd best_simd() {
#if USE_X86
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") &&
        __builtin_cpu_supports("avx512vnni"))
        return Simd::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return Simd::avx2;
#endif
    return Simd::portable;
}

// The level of a name; "auto" is the best one.
inline Simd parse_simd(const std::string& name) {
    if (name == "auto") return best_simd();
    for (const Simd level : {Simd::portable, Simd::avx2, Simd::avx512}) {
        if (name != name_of(level)) continue;
        if (level > best_simd())
            throw std::runtime_error("this processor has no " + name + "; its best level is " +
                                     name_of(best_simd()));
        return level;
    }
    throw std::runtime_error("'" + name + "' is no level of SIMD; auto, portable, avx2 and avx512 "
                             "are");
}

// The level that the calling thread uses.
inline thread_local Simd simd_level = Simd::portable;

#if USE_X86
template <class Loop, class... Arguments>
[[gnu::target(AVX2_TARGET), gnu::noinline]] void run_avx2(Loop loop, Arguments... arguments) {
    loop(arguments...);
}
template <class Loop, class... Arguments>
[[gnu::target(AVX512_TARGET), gnu::noinline]] void run_avx512(Loop loop, Arguments... arguments) {
    loop(arguments...);
}
#endif

// Runs a lambda that is compiled for every level: dispatch([](const X* x, size_t n) INLINE { ... },
// x, n). What it works on are arguments, not captures, since stores of bytes may alias captures.
#define INLINE __attribute__((always_inline))

template <class Loop, class... Arguments>
inline void dispatch(Loop loop, Arguments... arguments) {
#if USE_X86
    if (simd_level == Simd::avx512) return run_avx512(loop, arguments...);
    if (simd_level == Simd::avx2) return run_avx2(loop, arguments...);
#endif
    loop(arguments...);
}
