/* The yardstick of benches/capacity.rs: what a recorder costs that is put together from well-known C libraries.
 * Reads a WAV with libsndfile, brings every channel to 8 kHz, runs spandsp's DTMF receiver over it, measures the energy
 * of blocks of 20 ms, and writes the same samples to another WAV.
 *
 * To 8 kHz either by speexdsp's resampler, as telephony servers do it, or by averaging: that is the least a program can
 * do, and wrong, since whatever sounds above 4 kHz is folded into the tones' band.
 *
 *   cc -O2 -o recorder recorder.c -lsndfile -lspandsp -lspeexdsp -lm && ./recorder filter|average IN.wav OUT.wav
 */
#include <sndfile.h>
#include <spandsp.h>
#include <speex/speex_resampler.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* speexdsp's own scale from 0 to 10; 3 is its default for calls. */
#define QUALITY 3

#define FRAMES 16384
#define MOST_CHANNELS 64

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s filter|average IN.wav OUT.wav\n", argv[0]);
        return 2;
    }
    int filter = !strcmp(argv[1], "filter");
    SF_INFO info = {0};
    SNDFILE *in = sf_open(argv[2], SFM_READ, &info);
    if (!in || info.channels > MOST_CHANNELS || info.samplerate % 8000) {
        fprintf(stderr, "%s: %s\n", argv[2], in ? "8, 16, 24, 32 or 48 kHz only" : sf_strerror(in));
        return 1;
    }
    SF_INFO written = {.samplerate = info.samplerate, .channels = info.channels, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *out = sf_open(argv[3], SFM_WRITE, &written);
    if (!out) {
        fprintf(stderr, "%s: %s\n", argv[3], sf_strerror(out));
        return 1;
    }
    int width = info.channels, ratio = info.samplerate / 8000, block = info.samplerate / 50;
    dtmf_rx_state_t *dtmf[MOST_CHANNELS];
    for (int c = 0; c < width; c++)
        dtmf[c] = dtmf_rx_init(NULL, NULL, NULL);
    SpeexResamplerState *resampler = NULL;
    if (filter && ratio > 1) {
        resampler = speex_resampler_init(width, info.samplerate, 8000, QUALITY, NULL);
        speex_resampler_set_input_stride(resampler, width);
        speex_resampler_set_output_stride(resampler, 1);
    }
    int16_t *frames = malloc(sizeof *frames * FRAMES * width), *slow = malloc(sizeof *slow * FRAMES);
    int64_t energy = 0;
    long voiced = 0, digits = 0;
    int in_block = 0;
    sf_count_t n;
    while ((n = sf_readf_short(in, frames, FRAMES)) > 0) {
        for (int c = 0; c < width; c++) {
            long m = n / ratio;
            if (resampler) {
                spx_uint32_t taken = n, made = FRAMES;
                speex_resampler_process_int(resampler, c, frames + c, &taken, slow, &made);
                m = made;
            } else {
                for (long i = 0; i < m; i++) {
                    int sum = 0;
                    for (int k = 0; k < ratio; k++)
                        sum += frames[(i * ratio + k) * width + c];
                    slow[i] = sum / ratio;
                }
            }
            dtmf_rx(dtmf[c], slow, m);
            char keys[64];
            digits += dtmf_rx_get(dtmf[c], keys, sizeof keys - 1);
            for (long i = 0; i < n; i++) {
                int32_t s = frames[i * width + c];
                energy += s * s;
                if (++in_block == block) {
                    voiced += energy / block > 256 * 256;
                    energy = in_block = 0;
                }
            }
        }
        sf_writef_short(out, frames, n);
    }
    sf_close(out);
    sf_close(in);
    printf("%ld keys, %ld voiced blocks\n", digits, voiced);
    return 0;
}
