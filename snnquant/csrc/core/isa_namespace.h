// The namespace of code that is compiled once per instruction set.
//
// Every function of the core lives in it, and the core uses no templates of the standard library:
// otherwise the linker could merge a copy with AVX code into the baseline.
#pragma once

#ifndef SNNQUANT_ISA
#define SNNQUANT_ISA baseline
#endif

#define SNNQUANT_STRING_(x) #x
#define SNNQUANT_STRING(x) SNNQUANT_STRING_(x)

// Iterations of the next loop touch no common memory; without it a loop over many arrays is not
// vectorised, because each pair of them would have to be compared first.
#if defined(__clang__)
#define SNNQUANT_INDEPENDENT_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define SNNQUANT_INDEPENDENT_LOOP _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define SNNQUANT_INDEPENDENT_LOOP __pragma(loop(ivdep))
#else
#define SNNQUANT_INDEPENDENT_LOOP
#endif

// Starts loading the cache line at an address into the second level, to read (0) or to write (1).
#if defined(__GNUC__) || defined(__clang__)
#define SNNQUANT_PREFETCH(address, writes) __builtin_prefetch(address, writes, 2)
#else
#define SNNQUANT_PREFETCH(address, writes) static_cast<void>(address)
#endif
