// Dense sums: dot products of runs of inputs with the weights of one tile of channels.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"
#include "synapse.h"
#include "vectors.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Inputs seen by several kernel positions or steps that are computed together.
constexpr int kDotRows = 4;

// Four neighbouring inputs, or the last ones of a run and zeros.
SNNQUANT_INLINE uint32_t four_inputs(const uint8_t* input) {
  uint32_t four;
  std::memcpy(&four, input, 4);
  return four;
}
SNNQUANT_INLINE uint32_t last_inputs(const uint8_t* input, int64_t count) {
  uint32_t four = 0;
  for (int64_t k = 0; k < count; ++k) four |= static_cast<uint32_t>(input[k]) << (8 * k);
  return four;
}

#if defined(SNNQUANT_AVX512VNNI)

struct DotLanes {
  static constexpr int kVectors = 4;  // of a tile that are summed up in one pass
  static constexpr int kRows = kDotRows;
  using Sum = __m512i;
  static constexpr int kChannels = 16;
  static SNNQUANT_INLINE Sum zero() { return _mm512_setzero_si512(); }
  static SNNQUANT_INLINE __m512i spread(uint32_t four) {
    return _mm512_set1_epi32(static_cast<int32_t>(four));
  }
  static SNNQUANT_INLINE Sum add(Sum sum, __m512i inputs, const int8_t* weights) {
    return _mm512_dpbusd_epi32(sum, inputs, _mm512_loadu_si512(weights));
  }
  static SNNQUANT_INLINE void put(int32_t* out, Sum sum) { _mm512_storeu_si512(out, sum); }
};
using SmallDotLanes = DotLanes;

#elif defined(SNNQUANT_AVX2)

// Any input: bytes are widened to 16 bits, in which products of two and their sum are exact.
struct DotLanes {
  static constexpr int kVectors = 4;
  static constexpr int kRows = 2;
  using Sum = __m256i;
  static constexpr int kChannels = 8;
  static SNNQUANT_INLINE Sum zero() { return _mm256_setzero_si256(); }
  static SNNQUANT_INLINE __m256i spread(uint32_t four) {
    return _mm256_cvtepu8_epi16(_mm_set1_epi32(static_cast<int32_t>(four)));
  }
  static SNNQUANT_INLINE Sum add(Sum sum, __m256i inputs, const int8_t* weights) {
    const __m256i low = _mm256_cvtepi8_epi16(load<__m128i>(weights));
    const __m256i high = _mm256_cvtepi8_epi16(load<__m128i>(weights + 16));
    const __m256i a = _mm256_madd_epi16(inputs, low), b = _mm256_madd_epi16(inputs, high);
    // hadd gives channels 0 1 4 5 | 2 3 6 7.
    const __m256i both = _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
    return _mm256_add_epi32(sum, both);
  }
  static SNNQUANT_INLINE void put(int32_t* out, Sum sum) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sum);
  }
};

// Inputs up to 128: products of two bytes and their sum fit 16 bits.
struct SmallDotLanes : DotLanes {
  static SNNQUANT_INLINE __m256i spread(uint32_t four) {
    return _mm256_set1_epi32(static_cast<int32_t>(four));
  }
  static SNNQUANT_INLINE Sum add(Sum sum, __m256i inputs, const int8_t* weights) {
    const __m256i pairs = _mm256_maddubs_epi16(inputs, load<__m256i>(weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

#elif defined(SNNQUANT_NEON_DOT)

// The instruction multiplies signed bytes: inputs are taken 128 lower, which dot_tile() makes up
// for by the sums of the weights.
struct DotLanes {
  static constexpr int kVectors = 4;
  static constexpr int kRows = kDotRows;
  using Sum = int32x4_t;
  static constexpr int kChannels = 4;
  static SNNQUANT_INLINE Sum zero() { return vdupq_n_s32(0); }
  static SNNQUANT_INLINE int8x16_t spread(uint32_t four) {
    return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
  }
  static SNNQUANT_INLINE Sum add(Sum sum, int8x16_t inputs, const int8_t* weights) {
    return vdotq_s32(sum, vld1q_s8(weights), inputs);
  }
  static SNNQUANT_INLINE void put(int32_t* out, Sum sum) { vst1q_s32(out, sum); }
};
using SmallDotLanes = DotLanes;

#elif defined(SNNQUANT_SSE2)

// As with AVX2: bytes are widened to 16 bits.
struct DotLanes {
  static constexpr int kVectors = 4;
  static constexpr int kRows = 2;
  using Sum = __m128i;
  static constexpr int kChannels = 4;
  static SNNQUANT_INLINE Sum zero() { return _mm_setzero_si128(); }
  static SNNQUANT_INLINE __m128i spread(uint32_t four) {
    return _mm_unpacklo_epi8(_mm_set1_epi32(static_cast<int32_t>(four)), _mm_setzero_si128());
  }
  static SNNQUANT_INLINE Sum add(Sum sum, __m128i inputs, const int8_t* weights) {
    const __m128i bytes = load<__m128i>(weights);
    const __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
    const __m128i high = _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8);
    const __m128 a = _mm_castsi128_ps(_mm_madd_epi16(inputs, low));
    const __m128 b = _mm_castsi128_ps(_mm_madd_epi16(inputs, high));
    const __m128i even = _mm_castps_si128(_mm_shuffle_ps(a, b, 0x88));
    const __m128i odd = _mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd));
    return _mm_add_epi32(sum, _mm_add_epi32(even, odd));
  }
  static SNNQUANT_INLINE void put(int32_t* out, Sum sum) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sum);
  }
};
using SmallDotLanes = DotLanes;

#else

struct DotLanes {
  static constexpr int kVectors = 1;
  static constexpr int kRows = 1;
  struct Sum {
    int32_t channel[kTile];
  };
  static constexpr int kChannels = static_cast<int>(kTile);
  static SNNQUANT_INLINE Sum zero() { return Sum{}; }
  static SNNQUANT_INLINE uint32_t spread(uint32_t four) { return four; }
  static SNNQUANT_INLINE Sum add(Sum sum, uint32_t inputs, const int8_t* weights) {
    for (int j = 0; j < 4; ++j) {
      const int32_t input = static_cast<int32_t>((inputs >> (8 * j)) & 0xff);
      for (int c = 0; c < kTile; ++c) sum.channel[c] += input * weights[4 * c + j];
    }
    return sum;
  }
  static SNNQUANT_INLINE void put(int32_t* out, const Sum& sum) {
    for (int c = 0; c < kTile; ++c) out[c] = sum.channel[c];
  }
};
using SmallDotLanes = DotLanes;

#endif

// The value that counts as 0 in the sums of dot_tile().
#if defined(SNNQUANT_NEON_DOT)
constexpr int32_t kDotZero = 128;
#else
constexpr int32_t kDotZero = 0;
#endif

// The first lanes of a tile, in no more vectors than they fill.
template <class Lanes>
struct HalfOf : Lanes {
  static constexpr int kFit = static_cast<int>(kHalfTile) / Lanes::kChannels;
  static constexpr int kVectors = kFit > 0 && kFit < Lanes::kVectors ? kFit : Lanes::kVectors;
};

// sums[row * stride + lane] of `lanes` lanes of a tile for `rows` rows that see the same runs.
template <class Lanes, int rows>
SNNQUANT_INLINE void dot_rows(const uint8_t* const* inputs, const Run* runs, int64_t run_count,
                              const int8_t* weights, int64_t lanes, int32_t* sums, int64_t stride) {
  constexpr int kPass = Lanes::kVectors * Lanes::kChannels;
  constexpr int kGroup = 4 * static_cast<int>(kTile);  // bytes of weights for four inputs
  for (int channel = 0; channel < lanes; channel += kPass) {
    typename Lanes::Sum sum[rows][Lanes::kVectors];
    SNNQUANT_UNROLL
    for (int r = 0; r < rows; ++r) {
      SNNQUANT_UNROLL
      for (int v = 0; v < Lanes::kVectors; ++v) sum[r][v] = Lanes::zero();
    }
    const int8_t* w = weights + 4 * channel;
    const auto add = [&](auto four) SNNQUANT_INLINE_LAMBDA {
      SNNQUANT_UNROLL
      for (int r = 0; r < rows; ++r) {
        const auto spread = Lanes::spread(four(inputs[r]));
        SNNQUANT_UNROLL
        for (int v = 0; v < Lanes::kVectors; ++v) {
          sum[r][v] = Lanes::add(sum[r][v], spread, w + 4 * Lanes::kChannels * v);
        }
      }
      w += kGroup;
    };
    for (int64_t run = 0; run < run_count; ++run) {
      const int64_t end = runs[run].offset + runs[run].length;
      int64_t k = runs[run].offset;
      for (; k + 4 <= end; k += 4) add([k](const uint8_t* row) { return four_inputs(row + k); });
      if (k < end) add([k, end](const uint8_t* row) { return last_inputs(row + k, end - k); });
    }
    SNNQUANT_UNROLL
    for (int r = 0; r < rows; ++r) {
      SNNQUANT_UNROLL
      for (int v = 0; v < Lanes::kVectors; ++v) {
        Lanes::put(sums + r * stride + channel + v * Lanes::kChannels, sum[r][v]);
      }
    }
  }
}

template <class Lanes>
void dot_any(const uint8_t* const* inputs, int count, const Run* runs, int64_t run_count,
             const int8_t* weights, int64_t lanes, int32_t* sums, int64_t stride) {
  int r = 0;
  if constexpr (Lanes::kRows >= 4) {
    for (; r + 4 <= count; r += 4) {
      dot_rows<Lanes, 4>(inputs + r, runs, run_count, weights, lanes, sums + r * stride, stride);
    }
    if (r + 3 == count) {
      dot_rows<Lanes, 3>(inputs + r, runs, run_count, weights, lanes, sums + r * stride, stride);
      r += 3;
    }
  }
  if constexpr (Lanes::kRows >= 2) {
    for (; r + 2 <= count; r += 2) {
      dot_rows<Lanes, 2>(inputs + r, runs, run_count, weights, lanes, sums + r * stride, stride);
    }
  }
  for (; r < count; ++r) {
    dot_rows<Lanes, 1>(inputs + r, runs, run_count, weights, lanes, sums + r * stride, stride);
  }
}

// Sums of (input - kDotZero) * weight over the runs, for up to kDotRows rows of inputs and the
// first `lanes` channels of a tile; `small`: no input exceeds 128.
inline void dot_tile(const uint8_t* const* inputs, int count, const Run* runs, int64_t run_count,
                     const int8_t* weights, int64_t lanes, bool small, int32_t* sums,
                     int64_t stride) {
  const auto run = [&](auto kind) SNNQUANT_INLINE_LAMBDA {
    using Lanes = decltype(kind);
    if (lanes <= kHalfTile && HalfOf<Lanes>::kVectors < Lanes::kVectors) {
      dot_any<HalfOf<Lanes>>(inputs, count, runs, run_count, weights, lanes, sums, stride);
    } else {
      dot_any<Lanes>(inputs, count, runs, run_count, weights, lanes, sums, stride);
    }
  };
  if (small) {
    run(SmallDotLanes{});
  } else {
    run(DotLanes{});
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
