#include "dispatch.h"

#include <cstdlib>

#if defined(SNNQUANT_X86) && defined(_MSC_VER)
#include <intrin.h>
#endif

namespace snnquant {

namespace baseline {
extern const Kernels kernels;
}
#if defined(SNNQUANT_X86)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

namespace {

#if defined(SNNQUANT_X86) && defined(_MSC_VER)

// Bits of the extended control register: the operating system saves these registers.
constexpr unsigned long long kSavesYmm = 0x6, kSavesZmm = 0xe6;

bool has_features(int ebx_bits, unsigned long long saved) {
  int leaf1[4], leaf7[4];
  __cpuid(leaf1, 1);
  if ((leaf1[2] & (1 << 27)) == 0 || (_xgetbv(0) & saved) != saved) return false;
  __cpuidex(leaf7, 7, 0);
  return (leaf7[1] & ebx_bits) == ebx_bits;
}
bool has_avx2() { return has_features(1 << 5, kSavesYmm); }
bool has_avx512() {
  const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
  return has_features(static_cast<int>(f | dq | bw | vl), kSavesZmm);
}

#elif defined(SNNQUANT_X86)

bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

#endif

bool always() { return true; }

struct Candidate {
  const Kernels& kernels;
  bool (*supported)();
};

// From the one preferred last to the one preferred most.
const Candidate kCandidates[] = {
    {baseline::kernels, always},
#if defined(SNNQUANT_X86)
    {avx2::kernels, has_avx2},
    {avx512::kernels, has_avx512},
#endif
};

}  // namespace

const Kernels* select_kernels(std::string* problem) {
  const char* wanted = std::getenv(kIsaVariable);
  const bool free_choice = wanted == nullptr || *wanted == '\0';
  const Kernels* best = nullptr;
  std::string usable;
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.supported()) continue;
    if (free_choice || candidate.kernels.name == std::string(wanted)) best = &candidate.kernels;
    usable += usable.empty() ? "" : ", ";
    usable += candidate.kernels.name;
  }
  if (best == nullptr) {
    *problem = std::string(kIsaVariable) + " is '" + wanted + "', this machine can run: " + usable +
               "; set one of these or unset the variable";
  }
  return best;
}

}  // namespace snnquant
