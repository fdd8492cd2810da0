#include "dispatch.h"

#include <cstdlib>

#if defined(SNNQUANT_X86) && defined(_MSC_VER)
#include <intrin.h>
#elif defined(SNNQUANT_ARM64) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace snnquant {

#define SNNQUANT_DECLARE_NEURONS(isa) \
  namespace isa {                     \
  extern const Kernels kernels;       \
  }
#define SNNQUANT_DECLARE_LAYERS(isa)              \
  namespace isa {                                 \
  extern const LayerKernels layer_kernels;        \
  extern const SpikeMapKernels spike_map_kernels; \
  extern const PeakKernels peak_kernels;          \
  }

SNNQUANT_DECLARE_NEURONS(baseline)
SNNQUANT_DECLARE_LAYERS(baseline)
#if defined(SNNQUANT_X86)
SNNQUANT_DECLARE_NEURONS(avx2)
SNNQUANT_DECLARE_LAYERS(avx2)
SNNQUANT_DECLARE_NEURONS(avx512)
SNNQUANT_DECLARE_LAYERS(avx512vnni)
#elif defined(SNNQUANT_ARM64)
SNNQUANT_DECLARE_NEURONS(neondot)
SNNQUANT_DECLARE_LAYERS(neondot)
#endif

namespace {

#if defined(SNNQUANT_X86) && defined(_MSC_VER)

// Bits of the extended control register: the operating system saves these registers.
constexpr unsigned long long kSavesYmm = 0x6, kSavesZmm = 0xe6;

bool has_features(int ebx_bits, unsigned long long saved, int ecx_bits = 0) {
  int leaf1[4], leaf7[4];
  __cpuid(leaf1, 1);
  if ((leaf1[2] & (1 << 27)) == 0 || (_xgetbv(0) & saved) != saved) return false;
  __cpuidex(leaf7, 7, 0);
  return (leaf7[1] & ebx_bits) == ebx_bits && (leaf7[2] & ecx_bits) == ecx_bits;
}
bool has_avx2() { return has_features(1 << 5, kSavesYmm); }
constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // f, dq, bw, vl
bool has_avx512() { return has_features(static_cast<int>(kAvx512), kSavesZmm); }
bool has_avx512vnni() {
  constexpr int kVbmi2 = 1 << 6, kVnni = 1 << 11;
  return has_features(static_cast<int>(kAvx512), kSavesZmm, kVbmi2 | kVnni);
}

#elif defined(SNNQUANT_X86)

bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512vnni() {
  return has_avx512() && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512vbmi2");
}

#elif defined(SNNQUANT_ARM64) && defined(__linux__)

bool has_neondot() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#elif defined(SNNQUANT_ARM64)

bool has_neondot() { return true; }  // every processor of Apple's machines has it

#endif

bool always() { return true; }

struct Candidate {
  Isa isa;
  bool (*supported)();
};

#define SNNQUANT_ISA_OF(name, neurons, layers) \
  {name, neurons::kernels, layers::layer_kernels, layers::spike_map_kernels, layers::peak_kernels}

// From the one preferred last to the one preferred most. Layers gain from AVX-512 by its dot
// products, neurons by its width, so each is compiled for one of the two only.
const Candidate kCandidates[] = {
    {SNNQUANT_ISA_OF("baseline", baseline, baseline), always},
#if defined(SNNQUANT_X86)
    {SNNQUANT_ISA_OF("avx2", avx2, avx2), has_avx2},
    {SNNQUANT_ISA_OF("avx512", avx512, avx2), has_avx512},
    {SNNQUANT_ISA_OF("avx512vnni", avx512, avx512vnni), has_avx512vnni},
#elif defined(SNNQUANT_ARM64)
    {SNNQUANT_ISA_OF("neondot", neondot, neondot), has_neondot},
#endif
};

}  // namespace

const Isa* select_isa(std::string* problem) {
  const char* wanted = std::getenv(kIsaVariable);
  const bool free_choice = wanted == nullptr || *wanted == '\0';
  const Isa* best = nullptr;
  std::string usable;
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.supported()) continue;
    if (free_choice || candidate.isa.name == std::string(wanted)) best = &candidate.isa;
    usable += usable.empty() ? "" : ", ";
    usable += candidate.isa.name;
  }
  if (best == nullptr) {
    *problem = std::string(kIsaVariable) + " is '" + wanted + "', this machine can run: " + usable +
               "; set one of these or unset the variable";
  }
  return best;
}

}  // namespace snnquant
