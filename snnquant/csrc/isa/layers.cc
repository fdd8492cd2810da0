// Fused layers and spike maps: compiled once per instruction set, in the namespace of each.
#include "../core/layer_run.h"
#include "../core/peak.h"
#include "../core/spike_maps.h"

namespace snnquant {
namespace SNNQUANT_ISA {

extern const LayerKernels layer_kernels;
const LayerKernels layer_kernels = {layer_parts, layer_scratch_bytes, run_layer_part};
extern const SpikeMapKernels spike_map_kernels;
const SpikeMapKernels spike_map_kernels = {pool_spikes, add_spikes, sum_over_time};
extern const PeakKernels peak_kernels;
const PeakKernels peak_kernels = {peak_dense, peak_events};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
