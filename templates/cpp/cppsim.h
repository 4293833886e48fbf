/* The network as a C library. Functions that can fail return NULL, or what is wrong in words (valid
   until the thread's next call). A model may be run by several threads at once. */
#ifndef CPPSIM_H
#define CPPSIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One frame is (height, width, channels), channels fastest, of integers from lo to hi. */
typedef struct {
    const char* name;
    int64_t height, width, channels, lo, hi;
    int64_t bytes; /* of an element in memory, which is signed if lo < 0 */
} CppsimTensor;

typedef struct {
    const char *name, *kind;
    int64_t binary_macs; /* a frame */
} CppsimLayer;

typedef struct CppsimModel CppsimModel;

/* `values` of `frames` frames from `first` on, one after the other. */
typedef void (*CppsimRecord)(void* context, const CppsimTensor* tensor, int64_t first,
                             int64_t frames, const int64_t* values);

typedef struct {
    const void* images; /* elements as cppsim_input() says */
    int64_t frames;
    int64_t* outputs;
    int64_t threads;
    const char* simd;      /* auto, portable, avx2, avx512 */
    CppsimRecord record;   /* sees every tensor (on one thread, the caller's), or NULL */
    void* context;         /* of record */
    double* layer_seconds; /* a number for every layer is added to (on one thread), or NULL */
} CppsimRun;

const CppsimTensor* cppsim_input(void);
const CppsimTensor* cppsim_output(void);
const CppsimLayer* cppsim_layers(int64_t* count);
const char* cppsim_best_simd(void);
double cppsim_clock_rate(void); /* cycles a second that this core makes just now */
const char* cppsim_check_simd(const char* simd);

const char* cppsim_open(const char* params, CppsimModel** model);
void cppsim_close(CppsimModel* model);
const char* cppsim_run(CppsimModel* model, const CppsimRun* run);

#ifdef __cplusplus
}
#endif
#endif
