// Compiled once per instruction set, with the flags and the namespace of each.
#include "../core/kernels.h"

namespace snnquant {
namespace SNNQUANT_ISA {

extern const Kernels kernels;
const Kernels kernels = {SNNQUANT_STRING(SNNQUANT_ISA), prepare, scratch_bytes, run};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
