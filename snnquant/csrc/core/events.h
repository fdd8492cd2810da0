// Events: the places of the inputs that are not 0, each as often as its count says.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "vectors.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Lists are written and read in blocks; a list has room for as many entries behind its end.
constexpr int64_t kEventSlack = 64;

// Sum and largest of some inputs: how many events they make, and whether these are plain spikes.
// Inputs below the one that counts as 0 wrap, and are larger than any that are not below it.
struct Census {
  int64_t events;
  uint8_t largest;
};

// How often an input counts, where `silent` is the one that counts as 0.
inline uint8_t count_of(uint8_t input, uint8_t silent) {
  return static_cast<uint8_t>(input - silent);
}

inline Census count_events(const uint8_t* input, int64_t size, uint8_t silent) {
  Census seen = {};
  int64_t k = 0;
#if defined(SNNQUANT_AVX512VNNI)
  __m512i sums = _mm512_setzero_si512(), largest = _mm512_setzero_si512();
  const __m512i zero = _mm512_setzero_si512();
  const __m512i base = _mm512_set1_epi8(static_cast<char>(silent));
  for (; k + 64 <= size; k += 64) {
    const __m512i values = _mm512_sub_epi8(_mm512_loadu_si512(input + k), base);
    sums = _mm512_add_epi64(sums, _mm512_sad_epu8(values, zero));
    largest = _mm512_max_epu8(largest, values);
  }
  alignas(64) int64_t part[8];
  alignas(64) uint8_t lanes[64];
  _mm512_store_si512(part, sums);
  _mm512_store_si512(lanes, largest);
  for (const int64_t sum : part) seen.events += sum;
  for (const uint8_t lane : lanes) seen.largest = lane > seen.largest ? lane : seen.largest;
#endif
  while (k < size) {
    // 2**23 bytes of 255 fit 32 bits; the narrow sum is what compilers turn into vector code.
    const int64_t end = size - k < (1 << 23) ? size : k + (1 << 23);
    uint32_t sum = 0;
    uint8_t most = 0;
    for (; k < end; ++k) {
      const uint8_t count = count_of(input[k], silent);
      sum += count;
      most = count > most ? count : most;
    }
    seen.events += sum;
    seen.largest = most > seen.largest ? most : seen.largest;
  }
  return seen;
}

// What a list holds: inputs that count 0 or 1 and count 1; any inputs, as often as they count; or,
// of inputs that count 0 or 1, those that count 0.
enum class Listing { spikes, counts, silence };

// Appends the places first, first + 1, ... of some inputs, all of them.
inline int64_t list_all(int64_t size, uint16_t first, uint16_t* out) {
  for (int64_t k = 0; k < size; ++k) out[k] = static_cast<uint16_t>(first + k);
  return size;
}

// Appends the place of one input as often as it counts.
inline int64_t repeat_event(uint8_t count, uint16_t place, uint16_t* out) {
  for (int k = 0; k < count; ++k) out[k] = place;
  return count;
}

// Lists the events of `size` inputs, the first of which has the place `first`; returns their
// number. Inputs that equal `silent` count as 0, and none is below it.
#if defined(SNNQUANT_AVX512VNNI)

template <Listing listing>
SNNQUANT_INLINE int64_t list_events(const uint8_t* input, int64_t size, uint8_t silent,
                                    uint16_t first, uint16_t* out) {
  alignas(64) static const uint16_t kCounting[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                     11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                     22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
  uint16_t* end = out;
  __m512i place = _mm512_add_epi16(_mm512_load_si512(kCounting),
                                   _mm512_set1_epi16(static_cast<int16_t>(first)));
  const __m512i half = _mm512_set1_epi16(32), one = _mm512_set1_epi8(1);
  const __m512i base = _mm512_set1_epi8(static_cast<char>(silent));
  const auto append = [&](__mmask64 active) SNNQUANT_INLINE_LAMBDA {
    const __mmask32 low = static_cast<__mmask32>(active);
    const __mmask32 high = static_cast<__mmask32>(active >> 32);
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi16(low, place));
    end += __builtin_popcount(low);
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi16(high, _mm512_add_epi16(place, half)));
    end += __builtin_popcount(high);
    place = _mm512_add_epi16(place, _mm512_set1_epi16(64));
  };
  if (listing != Listing::counts && size % 64 == 0) {
    // Without branches: which blocks are silent, no processor foresees.
    for (int64_t k = 0; k < size; k += 64) {
      const __m512i values = _mm512_loadu_si512(input + k);
      append(listing == Listing::silence ? _mm512_cmpeq_epi8_mask(values, base)
                                         : _mm512_cmpneq_epi8_mask(values, base));
    }
    return end - out;
  }
  for (int64_t k = 0; k < size; k += 64) {
    const int64_t left = size - k;
    const __mmask64 valid = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    const __m512i values = _mm512_maskz_loadu_epi8(valid, input + k);
    const __mmask64 active = _mm512_mask_cmpneq_epi8_mask(valid, values, base);
    if (listing == Listing::counts &&
        _mm512_mask_cmpgt_epu8_mask(active, _mm512_sub_epi8(values, base), one) != 0) {
      for (int64_t j = 0; j < (left < 64 ? left : 64); ++j) {
        end +=
            repeat_event(count_of(input[k + j], silent), static_cast<uint16_t>(first + k + j), end);
      }
      place = _mm512_add_epi16(place, _mm512_set1_epi16(64));
    } else {
      append(listing == Listing::silence ? ~active & valid : active);
    }
  }
  return end - out;
}

#else

// How many events an input is.
template <Listing listing>
SNNQUANT_INLINE uint8_t event_of(uint8_t input, uint8_t silent) {
  return listing == Listing::silence ? input == silent : count_of(input, silent);
}

template <Listing listing>
SNNQUANT_INLINE int64_t list_events(const uint8_t* input, int64_t size, uint8_t silent,
                                    uint16_t first, uint16_t* out) {
  const uint64_t eight_silent = silent * UINT64_C(0x0101010101010101);
  uint16_t* end = out;
  int64_t k = 0;
  for (; k + 8 <= size; k += 8) {
    uint64_t eight;
    std::memcpy(&eight, input + k, 8);
    if (listing != Listing::silence && eight == eight_silent) continue;
    for (int j = 0; j < 8; ++j) {
      const uint8_t value = event_of<listing>(input[k + j], silent);
      const uint16_t place = static_cast<uint16_t>(first + k + j);
      *end = place;  // kept only where there is an event
      end += listing != Listing::counts || value <= 1 ? value : repeat_event(value, place, end);
    }
  }
  for (; k < size; ++k) {
    end += repeat_event(event_of<listing>(input[k], silent), static_cast<uint16_t>(first + k), end);
  }
  return end - out;
}

#endif

// Appends events, `moved` places further; reads and writes up to kEventSlack entries too many.
SNNQUANT_INLINE int64_t copy_events(const uint16_t* from, int64_t count, uint16_t moved,
                                    uint16_t* out) {
#if defined(SNNQUANT_HAS_VECTORS)
  // Most runs are short, and wider vectors would cross more cache lines.
  constexpr int kBytes = kVectorBytes < 32 ? kVectorBytes : 32;
  typedef uint16_t Block __attribute__((vector_size(kBytes)));
  int64_t k = 0;
  do {
    store(out + k, load<Block>(from + k) + moved);
    k += kBytes / 2;
  } while (k < count);
#else
  for (int64_t k = 0; k < count; ++k) out[k] = static_cast<uint16_t>(from[k] + moved);
#endif
  return count;
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
