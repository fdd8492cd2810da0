"""Small runs on the tianjic target in which every integer is worked out by hand.

Weights: the largest magnitude is 2, so that S_w = 2/128 = 1/64, and
``[-2, 1.2, 0.8, 2] * 64 = [-128, 76.8, 51.2, 128]``; rounded and clamped to 8 bits they are
``[-128, 77, 51, 127]``. Of spikes S_v = S_w, so that a constant is ``round(value * 64)``.
The leak is ``floor(k * vm / 256)`` with ``k = round(alpha * 256)``.
"""

from dataclasses import dataclass, field

REAL_WEIGHTS = [-2.0, 1.2, 0.8, 2.0]
WEIGHTS = [-128, 77, 51, 127]
HARD, SOFT, SOFT_CONSTANT = 0, 1, 2
HIGH, LOW = 134217727, -134217728  # 2^27 - 1 and -2^27


@dataclass(frozen=True)
class Vector:
    """One neuron over time.

    Attributes:
        kind: name of the quantizable neuron.
        parameters: what it is constructed with.
        constants: the integers that it must hold.
        inputs: the four inputs of each step.
        currents, v3, spikes, v: what must come of them, ``v`` after the leak.
        others: other states after each step, by name.
        bias: of the synapse, real.
        start: membrane before the first step, an integer; None: ``v_init``.
        absmax: largest input of calibration; None: the inputs are spikes.
    """

    kind: str
    parameters: dict
    constants: dict
    inputs: list
    currents: list
    v3: list
    spikes: list
    v: list
    others: dict = field(default_factory=dict)
    bias: float | None = None
    absmax: float | None = None
    start: int | None = None


NONE, A, B, C, D = [0] * 4, [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]
AB, BD = [1, 1, 0, 0], [0, 1, 0, 1]

VECTORS = {
    # 1 * 64; 0.9 * 256 = 230.4; 0.1 * 64 = 6.4; 0.25 * 64 = 16; v_init is v_reset.
    "hard": Vector(
        "QLIF",
        {"v_th_0": 1.0, "v_leaky_alpha": 0.9, "v_leaky_beta": 0.1, "v_reset": 0.25},
        {"v_threshold": 64, "dv": 64, "alpha": 230, "leak_bias": 6, "v_reset": 16, "v_init": 16},
        inputs=[C, NONE, AB, A, BD, C],
        # 51; 0; -128 + 77; -128; 77 + 127; 51
        currents=[51, 0, -51, -128, 204, 51],
        # 16 + 51; 20; 23 - 51; -20 - 128; -127 + 204; 20 + 51
        v3=[67, 20, -28, -148, 77, 71],
        spikes=[1, 0, 0, 0, 1, 1],
        # reset to 16: 3680/256 = 14.4 -> 14 + 6; 4600/256 = 17.97 -> 17 + 6;
        # -6440/256 = -25.2 -> -26 + 6; -34040/256 = -132.97 -> -133 + 6; reset; reset
        v=[20, 23, -20, -127, 20, 20],
    ),
    # 0.8 * 64 = 51.2 compares and subtracts; 0.5 * 256; -0.05 * 64 = -3.2
    "soft": Vector(
        "QLIF",
        {"v_th_0": 0.8, "v_leaky_alpha": 0.5, "v_leaky_beta": -0.05, "reset": SOFT},
        {"v_threshold": 51, "dv": 51, "alpha": 128, "leak_bias": -3, "v_reset": 0, "v_init": 0},
        inputs=[C, C, BD, NONE, A, B, AB],
        currents=[51, 51, 204, 0, -128, 77, -51],
        # 51 is not above 51; 22 + 51; 8 + 204; 77; 10 - 128; -62 + 77; 4 - 51
        v3=[51, 73, 212, 77, -118, 15, -47],
        spikes=[0, 1, 1, 1, 0, 0, 0],
        # 25.5 -> 25 - 3; (73 - 51)/2 - 3; 161/2 = 80.5 -> 80 - 3; 26/2 - 3; -59 - 3;
        # 7.5 -> 7 - 3; -23.5 -> -24 - 3
        v=[22, 8, 77, 10, -62, 4, -27],
    ),
    # 0.9 * 64 = 57.6 rounds up; 0.3 * 64 = 19.2; alpha 1 is 256/256
    "soft_constant": Vector(
        "QLIF",
        {"v_th_0": 0.9, "dv": 0.3, "reset": SOFT_CONSTANT},
        {"v_threshold": 58, "dv": 19, "alpha": 256, "leak_bias": 0},
        inputs=[D, NONE, B, A, C, NONE],
        currents=[127, 0, 77, -128, 51, 0],
        # 127; 108; 89 + 77; 147 - 128; 19 + 51; 51
        v3=[127, 108, 166, 19, 70, 51],
        spikes=[1, 1, 1, 0, 1, 0],
        # 127 - 19; 108 - 19; 166 - 19; 19; 70 - 19; 51
        v=[108, 89, 147, 19, 51, 51],
    ),
    # v >= 51 is v > 50; 51 is subtracted
    "equal": Vector(
        "QIF",
        {"v_th_0": 0.8, "reset": SOFT, "fire_on_equal": True},
        {"v_threshold": 50, "dv": 51},
        inputs=[C, C, D, NONE],
        currents=[51, 51, 127, 0],
        v3=[51, 51, 127, 76],
        spikes=[1, 1, 1, 1],
        v=[0, 0, 76, 25],
    ),
    # 0.75 * 256 = 192; v_init 1 * 64
    "refractory_hard": Vector(
        "QLIF",
        {"v_th_0": 0.8, "v_leaky_alpha": 0.75, "ref_len": 2, "v_init": 1.0},
        {"v_threshold": 51, "alpha": 192, "refractory_steps": 2, "v_reset": 0, "v_init": 64},
        inputs=[NONE, D, D, C, C, A],
        currents=[0, 127, 127, 51, 51, -128],
        # 64; input blocked twice; 51 is not above 51; 38 + 51; blocked
        v3=[64, 0, 0, 51, 89, 0],
        spikes=[1, 0, 0, 0, 1, 0],
        # 51 * 192 / 256 = 38.25
        v=[0, 0, 0, 38, 0, 0],
        others={"r": [2, 1, 0, 0, 2, 1]},
    ),
    # Only input is blocked: what is left above the threshold goes on firing.
    "refractory_soft": Vector(
        "QIF",
        {"v_th_0": 0.8, "reset": SOFT, "ref_len": 1},
        {"v_threshold": 51, "dv": 51, "refractory_steps": 1},
        inputs=[BD, D, C, C, A],
        currents=[204, 127, 51, 51, -128],
        # 204; 153; 102; 51; the first input that counts again: 51 - 128
        v3=[204, 153, 102, 51, -77],
        spikes=[1, 1, 1, 0, 0],
        v=[153, 102, 51, 51, -77],
        others={"r": [1, 1, 1, 0, 0]},
    ),
    # S_x = 4/128 = 1/32 and S_v = 1/64/32 = 1/2048; 0.1 * 2048 = 204.8; 0.01 * 2048 = 20.48
    "encoder": Vector(
        "QLIF",
        {"v_th_0": 1.0, "v_leaky_alpha": 0.9, "v_leaky_beta": 0.01, "v_reset": -0.1},
        {"v_threshold": 2048, "alpha": 230, "leak_bias": 20, "v_reset": -205, "v_init": -205},
        # 16, 0.5 -> 0, 1.5 -> 2, 128 -> 127, -128, 320 -> 127: halves go to even
        inputs=[
            [0.5, 0.0, 0.0, 0.0],
            [0.0, 0.015625, 0.046875, 0.0],
            [0.0, 4.0, 0.0, 0.0],
            [-4.0, 0.0, 0.0, 10.0],
            [0.0, 0.0, 0.0, 0.0],
        ],
        # -128 * 16 + 205; 77 * 0 + 51 * 2 + 205; 77 * 127 + 205; 128 * 128 + 127 * 127 + 205; 205
        currents=[-1843, 307, 9984, 32718, 205],
        # -205 - 1843; -1820 + 307; -1340 + 9984; -165 + 32718; -165 + 205
        v3=[-2048, -1513, 8644, 32553, 40],
        spikes=[0, 0, 1, 1, 0],
        # -1840 + 20; -347990/256 = -1359.3 -> -1360 + 20; -47150/256 = -184.2 -> -185 + 20;
        # the same; 9200/256 = 35.9 -> 35 + 20
        v=[-1820, -1340, -165, -165, 55],
        bias=0.1,
        absmax=4.0,
    ),
    # 1048576 * 64 = 2^26; a spike takes nothing away
    "saturated_high": Vector(
        "QIF",
        {"v_th_0": 1048576.0, "dv": 0.0, "reset": SOFT_CONSTANT, "v_leaky_beta": 1.0},
        {"v_threshold": 67108864, "dv": 0, "leak_bias": 64},
        start=134217664,
        inputs=[A, D, A, NONE],
        currents=[-128, 127, -128, 0],
        # 2^27 - 64 - 128; 2^27 - 128 + 127; 2^27 - 1 - 128 after saturation; 2^27 - 65
        v3=[134217536, HIGH, 134217599, 134217663],
        spikes=[1, 1, 1, 1],
        # + 64; + 64 saturates; + 64; 2^27 - 1 just so
        v=[134217600, HIGH, 134217663, HIGH],
    ),
    "saturated_low": Vector(
        "QLIF",
        {"v_th_0": 1048576.0, "v_leaky_alpha": 0.9, "v_leaky_beta": -1048576.0},
        {"v_threshold": 67108864, "alpha": 230, "leak_bias": -67108864},
        start=-134217700,
        inputs=[A, NONE, D],
        currents=[-128, 0, 127],
        # saturated; the leak -120586240 - 2^26 is saturated, too; -2^27 + 127
        v3=[LOW, LOW, -134217601],
        spikes=[0, 0, 0],
        v=[LOW, LOW, LOW],
    ),
    # 230 * (2^27 - 1) / 256 = 120586240 - 0.9; float32 holds neither
    "leak_of_the_largest": Vector(
        "QLIF",
        {"v_th_0": 1048576.0, "dv": 0.0, "reset": SOFT_CONSTANT, "v_leaky_alpha": 0.9},
        {"v_threshold": 67108864, "dv": 0, "alpha": 230},
        start=134217700,
        inputs=[D, NONE],
        currents=[127, 0],
        v3=[HIGH, 120586239],
        spikes=[1, 1],
        # 230 * 120586239 = 27734834970, / 256 = 108339199.1
        v=[120586239, 108339199],
    ),
    # A threshold of -2^26, which a spike takes away
    "negative_threshold": Vector(
        "QLIF",
        {"v_th_0": -1048576.0, "reset": SOFT, "v_leaky_alpha": 0.5},
        {"v_threshold": -67108864, "dv": -67108864, "alpha": 128},
        start=-67108800,
        inputs=[NONE, D, BD],
        currents=[0, 127, 204],
        # -2^26 + 64; 32 + 127; 33554511 + 204
        v3=[-67108800, 159, 33554715],
        spikes=[1, 1, 1],
        # 64 / 2; (159 + 2^26) / 2 = 33554511.5; (33554715 + 2^26) / 2 = 50331789.5
        v=[32, 33554511, 50331789],
    ),
    # The same with alpha 1: what the reset leaves is limited after the leak only.
    "saturated_reset": Vector(
        "QIF",
        {"v_th_0": -1048576.0, "reset": SOFT},
        {"v_threshold": -67108864, "dv": -67108864, "alpha": 256},
        start=-67108800,
        inputs=[NONE, NONE, A, D],
        currents=[0, 0, -128, 127],
        # -2^26 + 64; 64; 64 + 2^26 - 128; 2^27 - 64 + 127 is limited
        v3=[-67108800, 64, 67108800, HIGH],
        spikes=[1, 1, 1, 1],
        # 64; 64 + 2^26; 2^27 - 64; 2^27 - 1 + 2^26 is limited
        v=[64, 67108928, 134217664, HIGH],
    ),
    # -0.5 * 64; 0.5 * 256; 0.02 * 64 = 1.28; 0.3 * 64 = 19.2; -0.1 * 64 = -6.4
    "adaptive": Vector(
        "QExtendedLIF",
        {
            "v_th_0": 1.0, "v_leaky_alpha": 0.9, "v_leaky_beta": -0.1, "v_l": -0.5,
            "v_th_alpha": 0.5, "v_th_beta": 0.02, "v_th_incre": 0.3,
        },
        {
            "v_threshold": 64, "alpha": 230, "leak_bias": -6, "v_min": -32,
            "threshold_decay": 128, "threshold_bias": 1, "threshold_increment": 19,
        },
        inputs=[B, B, C, A, NONE],
        currents=[77, 77, 51, -128, 0],
        # against 64, 84, 75, 89, 77: 77; -6 + 77; 57 + 51; -6 - 128; -32
        v3=[77, 71, 108, -134, -32],
        spikes=[1, 0, 1, 0, 0],
        # 0 - 6; 16330/256 = 63.8 -> 63 - 6; 0 - 6; -121 - 6 is below -32; -29 - 6 likewise
        v=[-6, 57, -6, -32, -32],
        # 0 + 1 + 19; 10 + 1; 5.5 -> 5 + 20; 12.5 -> 12 + 1; 6.5 -> 6 + 1
        others={"a": [20, 11, 25, 13, 7]},
    ),
    # 0.6 * 256 = 153.6
    "synaptic_current": Vector(
        "QCubaLIF",
        {"v_threshold": 1.0, "alpha": 0.9, "alpha_syn": 0.6},
        {"v_threshold": 64, "alpha": 230, "alpha_syn": 154},
        inputs=[C, NONE, A, NONE],
        currents=[51, 0, -128, 0],
        # 51; 45 + 30; -110; -99 - 67
        v3=[51, 75, -110, -166],
        spikes=[0, 1, 0, 0],
        # 11730/256 = 45.8; reset; -25300/256 = -98.8 -> -99; -38180/256 = -149.1 -> -150
        v=[45, 0, -99, -150],
        # 51; 7854/256 = 30.7; 4620/256 = 18.05 -> 18 - 128; -16940/256 = -66.2 -> -67
        others={"i": [51, 30, -110, -67]},
    ),
}  # fmt: skip
