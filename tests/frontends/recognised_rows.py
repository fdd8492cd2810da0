"""The rows of the table of what is recognised: a user's words, and the net that shows them.

What a row becomes is not written here: :mod:`recognised_table` reads the net and says it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One neuron or structure, and the net of the zoo that is read for it.

    Attributes:
        words: what the user wrote; in backticks where it is code of the framework.
        net: name of the net or of the unusual export.
        exporter: how it is exported; a fixed batch is 1.
        last: describe the last neuron instead of the first.
    """

    words: str
    net: str
    exporter: str = "legacy_dyn"
    last: bool = False


def _rows(prefix: str, exporter: str, *entries: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(words, f"{prefix}/{net}", exporter, last="last" in more)
        for words, net, *more in entries
    )


SNNTORCH = _rows(
    "snntorch",
    "legacy_dyn",
    ("`Leaky()`", "leaky_subtract_static_4"),
    ("`Leaky(init_hidden=True)`", "init_hidden_membrane", "last"),
    ("`Leaky(graded_spikes_factor=2.0)`", "leaky_graded"),
    ("`Leaky(learn_beta=True, learn_threshold=True)`", "leaky_learned_subtract"),
    ('`Leaky(reset_mechanism="zero")`', "leaky_zero_static_3"),
    ('`Leaky(reset_mechanism="zero", reset_delay=False)`', "leaky_zero_now"),
    ('`Leaky(reset_mechanism="none")`', "leaky_none_static_4"),
    ("`Leaky(beta=tensor, threshold=tensor)`", "leaky_per_neuron_subtract"),
    ('`Leaky(reset_mechanism="none")`, membrane as output', "integrator_last", "last"),
    ("`Lapicque()`", "lapicque_rc_subtract"),
    ('`Lapicque(reset_mechanism="zero")`', "lapicque_rc_zero"),
    ("`Synaptic()`", "synaptic_subtract_static"),
    ('`Synaptic(reset_mechanism="zero")`', "synaptic_zero_static"),
    ('`Synaptic(reset_mechanism="none")`', "synaptic_none_static"),
    ("`RLeaky()`", "rleaky_all_subtract"),
    ("`RLeaky(conv2d_channels=3, kernel_size=3)`", "conv_recurrent"),
    ('`RLeaky(reset_mechanism="zero")`', "rleaky_all_zero"),
    ("`RLeaky(V=0.3, all_to_all=False)`", "rleaky_one_subtract"),
    ("`RSynaptic()`", "rsynaptic_all_subtract"),
    ("`Leaky(reset_delay=False)`", "leaky_subtract_now"),
    ("`Leaky(inhibition=True)`", "leaky_inhibition"),
    ("`Leaky(state_quant=...)`", "leaky_state_quant"),
    ("`Alpha()`", "alpha_subtract"),
    ("`SLSTM()`", "slstm"),
)
SPIKINGJELLY = _rows(
    "spikingjelly",
    "dynamo_fixed",
    ("`IFNode()`", "if_hard_m"),
    ("`IFNode(v_reset=None)`", "if_soft_m"),
    ("`LIFNode()`", "lif_decay_input_hard_m"),
    ("`LIFNode(decay_input=False)`", "lif_plain_hard_s"),
    ("`ParametricLIFNode()`", "plif_decay_input_hard_m"),
    ("`LIFNode(v_reset=None)`", "lif_decay_input_soft_m"),
    ("`LIFNode(v_reset=-0.2)`", "lif_decay_input_hard_low_m"),
    ("`HalfThresholdIFNode()`", "half_threshold_m"),
    ("`QIFNode()`", "qif_s"),
    ("`EIFNode()`", "eif_s"),
    ("`PSN()`", "psn_m"),
) + _rows(
    "spikingjelly",
    "legacy_dyn",
    ("`SimpleIFNode()`", "simple_if_m"),
    ("`SimpleLIFNode()`", "simple_lif_m"),
    ("`OTTTLIFNode()`", "ottt_s"),
    ("`SLTTLIFNode()`", "sltt_s"),
    ("`CUBALIFNode()`", "cuba_hard_m"),
    ("`CUBALIFNode(v_reset=None)`", "cuba_soft_m"),
    ("`KLIFNode()`", "klif_hard_m"),
    ("`KLIFNode(scale_reset=True)`", "klif_scaled_m"),
    ("`KLIFNode(v_reset=None)`", "klif_soft_m"),
    ("`ILIFNode()`", "ilif_s"),
    ("`LIAFNode()`", "liaf_s"),
    ("`MPBNLIFNode()`", "membrane_norm_m"),
    ("`TernaryLIFNode()`", "ternary_m"),
    ("`ComplementaryLIFNode()`", "complementary_m"),
)
NORSE = _rows(
    "norse",
    "legacy_dyn",
    ("`LIFBoxCell()`", "lifbox_zero"),
    ("`LIFBoxCell(v_reset=-0.3)`", "lifbox_low_reset"),
    ("`LIFBoxCell(v_leak=0.2)`", "lifbox_leak"),
    ("`LIFBoxCell(reset_method=reset_subtract)`", "lifbox_subtract"),
    ("`LIFBoxCell(tau_mem_inv=tensor, v_th=tensor)`", "lifbox_per_neuron"),
    ("`LIFCell()`", "lif_cell_default"),
    ("`LIF()`", "lif_time_default"),
    ("`LIFCell(v_leak=0.2)`", "lif_cell_leak"),
    ("`LIFCell(v_reset=-0.3)`", "lif_cell_low_reset"),
    ("`LIFRecurrentCell()`", "lif_recurrent_cell"),
    ("`LIFRecurrent()`", "lif_recurrent_plain"),
    ("`LICell()`", "sequential_recurrent", "last"),
    ("`LICell(v_leak=0.1)`", "li_cell_last", "last"),
    ("`LI(v_leak=0.1)`", "li_time", "last"),
    ("`LILinearCell(v_leak=0.1)`", "li_linear", "last"),
    ("`LIBoxCell()`", "li_box", "last"),
    ("`LIFAdExCell()`", "lif_adex"),
    ("`LIFExCell()`", "lif_ex"),
    ("`LSNNCell()`", "lsnn"),
    ("`LIFRefracCell()`", "lif_refrac"),
) + _rows(
    "norse",
    "dynamo_fixed",
    ("`IAFCell()`", "iaf_cell"),
)
SINABS = _rows(
    "sinabs",
    "legacy_dyn",
    ("`IAF(spike_fn=SingleSpike)`", "iaf_single_subtract"),
    ("`IAFSqueeze(spike_fn=SingleSpike, min_v_mem=None)`", "squeeze_conv"),
    ("`IAF()`", "iaf_multi_subtract"),
    ("`IAF(reset_fn=MembraneReset())`", "iaf_multi_reset"),
    ("`IAF(spike_fn=SingleSpike, min_v_mem=-1)`", "iaf_floor"),
    ("`from_model(cnn)`", "from_model"),
    ("`LIF(spike_fn=SingleSpike)`", "lif_norm_single_subtract"),
    ("`LIF(spike_fn=SingleSpike, norm_input=False)`", "lif_single_subtract"),
    ("`LIF(spike_fn=SingleSpike, reset_fn=MembraneReset())`", "lif_norm_single_reset"),
    ("`LIF(spike_fn=SingleSpike, reset_fn=MembraneReset(0.2))`", "lif_single_reset_0.2"),
    ("`LIF(spike_fn=SingleSpike, reset_fn=MembraneSubtract(0.6))`", "lif_single_subtract_0.6"),
    ("`LIF(spike_fn=SingleSpike, tau_syn=2)`", "lif_norm_synapse"),
    ("`LIF(spike_fn=SingleSpike, min_v_mem=-0.25)`", "lif_floor_single_subtract"),
    ("`LIF(spike_fn=SingleSpike, tau_mem=tensor, spike_threshold=tensor)`", "lif_per_neuron"),
    ("`LIF()`", "lif_norm_multi_subtract"),
    ("`LIFSqueeze()`", "squeeze_lif"),
    ("`LIF(spike_fn=MaxSpike(3))`", "lif_norm_max_subtract"),
    ("`LIF(reset_fn=MembraneSubtract(0.6))`", "lif_multi_subtract_0.6"),
    ("`ALIF(spike_fn=SingleSpike)`", "alif_norm"),
    ("`ALIF(spike_fn=SingleSpike, reset_fn=MembraneReset())`", "alif_reset"),
    ("`ALIF(spike_fn=SingleSpike, tau_syn=2)`", "alif_synapse"),
    ("`LIFRecurrent(spike_fn=SingleSpike)`", "lif_recurrent"),
    ("`LIFRecurrent(spike_fn=SingleSpike, tau_syn=2)`", "lif_recurrent_synapse"),
    ("`ALIFRecurrent(spike_fn=SingleSpike)`", "alif_recurrent"),
    ("`ExpLeak()`", "expleak_norm", "last"),
    ("`ExpLeak(min_v_mem=-0.2)`", "expleak_floor", "last"),
)
HANDWRITTEN = _rows(
    "handwritten",
    "legacy_dyn",
    ("`v * (1 - s)`", "cell_tet"),
    ("`alpha * v * (1 - s) + x` (STBP)", "cell_stbp_on_equal"),
    ("`torch.where(s, 0, v)`", "cell_where_scalar"),
    ("`masked_fill`", "cell_masked_fill"),
    ("`v - s * v`", "cell_minus_itself"),
    ("`v[fired] = 0.1`", "cell_index_assigned"),
    ("membranes in millivolts", "cell_millivolts"),
    ("`v - s * threshold`", "cell_soft"),
    ("`torch.lerp`", "cell_lerp"),
    ("straight-through spikes (`hard + soft - soft.detach()`)", "cell_fires_straight_through"),
    ("`relu(sign(v - threshold))`", "cell_fires_relu_of_sign"),
    ("`alpha * v + x - s * threshold`", "cell_soft_delayed"),
    ("`v - 0.6 * s`", "cell_resets_by_another_amount"),
    ("a linear leak: `v - s - 0.1`", "cell_leaks_linearly"),
    ("no reset", "cell_never_resets"),
    ("`clamp(floor(v), 0, 4)`", "cell_counts_floor"),
    ("`clamp(v, min=-0.4)`", "cell_clamped_below"),
    ("`relu(alpha * v + x)`", "cell_rectified"),
    ("a counter that blocks the input for 2 steps", "cell_refractory_counter"),
    ("`(alpha * v + x) * (1 - s)`", "cell_everything_lost"),
    ("`i = beta * i + x; v = alpha * v + i`", "cell_cuba"),
    ("a membrane that sees the last step's `i`", "cell_cuba_late"),
    ("a threshold that rises with each spike", "cell_adaptive_hard"),
    ("a threshold that rises, and is subtracted", "cell_adaptive_soft"),
    ("leak and threshold per neuron", "cell_sigmoid_decay_per_neuron"),
    ("recurrent weights", "recurrent_soft"),
    ("a membrane without spikes", "integrator_last", "last"),
    ("a leak that depends on the input", "cell_gated_leak"),
    ("`tanh` of the membrane", "cell_tanh_membrane"),
    ("positive and negative spikes", "cell_signed"),
    ("a membrane bounded above", "cell_bounded_above"),
    ("only the strongest neuron fires", "cell_inhibits_others"),
    ("one layer feeds back into an earlier one", "feedback"),
)
#: framework -> rows of neurons.
NEURONS: dict[str, tuple[Row, ...]] = {
    "snnTorch": SNNTORCH,
    "SpikingJelly": SPIKINGJELLY,
    "Norse": NORSE,
    "sinabs": SINABS,
    "by hand": HANDWRITTEN,
}
#: part of a network -> rows.
STRUCTURES: dict[str, tuple[Row, ...]] = {
    "input": (
        Row("one picture, the encoder run at every step", "snntorch/conv_pool_static"),
        Row(
            "one picture, the encoder run once, its current repeated",
            "spikingjelly/encoder_once",
            "dynamo_dyn",
        ),
        Row("a sequence `[T, B, ...]`", "snntorch/conv_pool_TB"),
        Row("a sequence `[B, T, ...]`", "snntorch/conv_pool_BT"),
        Row("time as the last axis", "handwritten/time_last"),
        Row("two inputs", "handwritten/two_inputs"),
        Row("a fixed batch of 1", "snntorch/conv_pool_TB", "legacy_fixed"),
    ),
    "layers": (
        Row(
            "time merged with batch, `[T * B, ...]`",
            "handwritten/merged_time_major_TB",
            "legacy_fixed",
        ),
        Row(
            "time merged with batch, `[B * T, ...]`",
            "handwritten/merged_batch_major_BT",
            "legacy_fixed",
        ),
        Row("multi-step modules of SpikingJelly", "spikingjelly/csnn_m", "dynamo_dyn"),
        Row("BatchNorm behind a convolution, pooling", "snntorch/conv_pool_before"),
        Row("BatchNorm on the input", "handwritten/norm_first"),
        Row("BatchNorm on spikes", "handwritten/norm_on_spikes"),
        Row("LayerNorm, Dropout", "snntorch/dropout_layernorm"),
        Row("residual sum of spikes (SEW ADD)", "spikingjelly/sew_add_if_m", "dynamo_dyn"),
        Row("residual AND", "spikingjelly/sew_and_if_m", "dynamo_dyn"),
        Row("residual IAND", "spikingjelly/sew_iand_if_m", "dynamo_dyn"),
        Row("residual sum of currents", "handwritten/sum_of_currents"),
        Row("membrane shortcut (MS-ResNet)", "handwritten/membrane_shortcut"),
        Row("concatenated spikes", "handwritten/concatenated"),
        Row("attention: products of spikes", "handwritten/attention_qk"),
        Row("`SpikingSelfAttention`", "spikingjelly/spiking_self_attention_m", "dynamo_dyn"),
        Row("a whole network on the rates", "handwritten/rates_into_a_head"),
    ),
    "read-out": (
        Row("sum over time", "snntorch/read_sum"),
        Row("mean", "snntorch/read_mean"),
        Row("maximum", "snntorch/read_max"),
        Row("last step", "snntorch/read_last"),
        Row("all steps", "snntorch/read_stack"),
        Row("running sum: `total = total + s`", "snntorch/read_running"),
        Row("written into a buffer: `out[t] = s`", "snntorch/read_scatter"),
        Row("membranes of a spiking layer", "snntorch/membrane_stack"),
        Row("mean of a membrane that never fires", "snntorch/integrator_mean"),
        Row("spikes and membranes as two outputs", "snntorch/both_outputs"),
        Row("weights that differ from step to step", "handwritten/weighted_steps"),
    ),
    "export": (
        Row("time as a scripted loop (Loop)", "loop/scripted"),
        Row("time as a scan (Scan)", "loop/scan", "dynamo_dyn"),
        Row("a single step, states as inputs and outputs", "step/handwritten_where_reset"),
        Row("a single step, states hidden in the module", "naive/snntorch_hidden"),
        Row("the same, after it had run", "naive/snntorch_hidden_stale"),
        Row("states of a fixed batch in a graph of any batch", "wrong/baked_batch"),
        Row("states that differ from sample to sample", "wrong/baked_state"),
        Row("training mode: Dropout", "wrong/training_dropout"),
        Row("training mode: BatchNorm", "wrong/training_norm"),
    ),
}
