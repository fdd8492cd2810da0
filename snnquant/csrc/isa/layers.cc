// Fused layers: compiled once per instruction set, with the flags and the namespace of each.
#include "../core/layer_run.h"

namespace snnquant {
namespace SNNQUANT_ISA {

extern const LayerKernels layer_kernels;
const LayerKernels layer_kernels = {layer_parts, layer_scratch_bytes, run_layer_part};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
