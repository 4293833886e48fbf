// Drives one device of a bench build with recorded beats under random traffic (see bench.py).
//
// usage: bench DUT SEED IDLE STALL BURST LAZY HOLD RESET_AT PATIENCE IN OUT
// IN:  per input port  u64 count, then the beats;  per output port  u64 expected count.
// OUT: per input port  u64 count, u64 cycle of every accepted beat;
//      per output port u64 count, then the beats, then u64 cycle of every beat.
// A beat takes ceil(width / 8) bytes, little endian. Exit status 1 and a line on stderr when the
// device breaks the protocol or stops.
#include "bench.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

using Beat = std::vector<uint8_t>;

static uint64_t rng_state;
static uint64_t rng() {  // splitmix64
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static double uniform() { return double(rng() >> 11) / 9007199254740992.0; }

static uint64_t cycle = 0;
[[noreturn]] static void fail(const std::string& why) {
    fprintf(stderr, "cycle %llu: %s\n", (unsigned long long)cycle, why.c_str());
    exit(1);
}

static bool get(const Pin& pin, unsigned bit) {
    return (static_cast<uint8_t*>(pin.at)[bit / 8] >> (bit % 8)) & 1;
}
static void put(const Pin& pin, unsigned bit, bool value) {
    uint8_t& byte = static_cast<uint8_t*>(pin.at)[bit / 8];
    byte = (byte & ~(1u << (bit % 8))) | (unsigned(value) << (bit % 8));
}
static unsigned bytes_of(unsigned width) { return (width + 7) / 8; }
static Beat get_beat(const Pin& pin, unsigned offset, unsigned width) {
    Beat beat(bytes_of(width), 0);
    if (offset % 8 == 0) {
        memcpy(beat.data(), static_cast<uint8_t*>(pin.at) + offset / 8, beat.size());
        if (width % 8) beat.back() &= (1u << (width % 8)) - 1;
        return beat;
    }
    for (unsigned i = 0; i < width; i++) beat[i / 8] |= get(pin, offset + i) << (i % 8);
    return beat;
}
static void put_beat(const Pin& pin, unsigned offset, unsigned width, const uint8_t* beat) {
    for (unsigned i = 0; i < width; i++) {
        if ((offset + i) % 8 == 0 && width - i >= 8 && i % 8 == 0) {
            static_cast<uint8_t*>(pin.at)[(offset + i) / 8] = beat[i / 8];
            i += 7;
        } else {
            put(pin, offset + i, (beat[i / 8] >> (i % 8)) & 1);
        }
    }
}

// Decides in runs of 1 .. 2 * burst - 1 cycles, with the given share of pauses.
struct Pauses {
    double share;
    unsigned burst;
    unsigned left = 0;
    bool paused = false;
    bool next() {
        if (share <= 0) return false;
        if (left == 0) {
            paused = uniform() < share;
            left = burst > 1 ? 1 + rng() % (2 * burst - 1) : 1;
        }
        left--;
        return paused;
    }
};

struct Source {
    unsigned width, offset;
    std::vector<uint8_t> beats;
    uint64_t count, taken = 0;
    bool valid = false;
    Pauses pauses;
    std::vector<uint64_t> cycles;
};

struct Sink {
    unsigned width, offset;
    uint64_t expected;
    bool ready = false, waiting = false;
    Beat held;
    Pauses pauses;
    std::vector<uint8_t> beats;
    std::vector<uint64_t> cycles;
};

static uint64_t read_u64(FILE* f) {
    uint64_t v = 0;
    if (fread(&v, 8, 1, f) != 1) fail("short input file");
    return v;
}
static void write_all(FILE* f, const void* at, size_t bytes) {
    if (bytes && fwrite(at, 1, bytes, f) != bytes) fail("cannot write the result");
}
static void write_u64s(FILE* f, const std::vector<uint64_t>& v) {
    uint64_t n = v.size();
    write_all(f, &n, 8);
    write_all(f, v.data(), 8 * v.size());
}

static void tick(const Dut& dut, bool rst, const std::vector<Source>& sources) {
    put(dut.clk, 0, false);
    put(dut.rst, 0, rst);
    for (unsigned p = 0; p < sources.size(); p++) {
        const Source& s = sources[p];
        put(dut.s_valid, p, s.valid);
        if (s.valid && !rst) {
            put_beat(dut.s_data, s.offset, s.width, &s.beats[s.taken * bytes_of(s.width)]);
        } else {  // nobody may look at data without valid
            for (unsigned i = 0; i < s.width; i++) put(dut.s_data, s.offset + i, rng() & 1);
        }
    }
    eval_model();
}

static void reset(const Dut& dut, std::vector<Source>& sources, std::vector<Sink>& sinks) {
    for (int i = 0; i < 3; i++) {
        for (Source& s : sources) s.valid = rng() & 1;
        for (unsigned p = 0; p < sinks.size(); p++) put(dut.m_ready, p, rng() & 1);
        tick(dut, true, sources);
        put(dut.clk, 0, true);
        eval_model();
    }
    for (Source& s : sources) s.taken = 0, s.valid = false, s.cycles.clear();
    for (Sink& s : sinks) s.waiting = false, s.beats.clear(), s.cycles.clear();
    cycle = 0;
}

static std::string progress(const std::vector<Source>& sources, const std::vector<Sink>& sinks) {
    std::string text;
    for (const Source& s : sources)
        text += " in " + std::to_string(s.taken) + "/" + std::to_string(s.count);
    for (const Sink& s : sinks)
        text += " out " + std::to_string(s.cycles.size()) + "/" + std::to_string(s.expected);
    return text;
}

// One clock cycle; true when a beat moved on any port.
static bool step(const Dut& dut, std::vector<Source>& sources, std::vector<Sink>& sinks,
                 bool lazy, uint64_t hold) {
    for (Source& s : sources)
        if (!s.valid) s.valid = !s.pauses.next() && s.taken < s.count;
    for (unsigned p = 0; p < sinks.size(); p++) {
        sinks[p].ready =
            !sinks[p].pauses.next() && (!lazy || sinks[p].waiting) && cycle >= hold;
        put(dut.m_ready, p, sinks[p].ready);
    }
    tick(dut, false, sources);
    bool moved = false;
    for (unsigned p = 0; p < sources.size(); p++) {
        Source& s = sources[p];
        if (!s.valid || !get(dut.s_ready, p)) continue;
        s.taken++;
        s.cycles.push_back(cycle);
        s.valid = false;
        moved = true;
    }
    for (unsigned p = 0; p < sinks.size(); p++) {
        Sink& s = sinks[p];
        bool valid = get(dut.m_valid, p);
        std::string name = "output " + std::to_string(p);
        if (s.waiting && !valid) fail(name + " takes valid back before ready");
        if (valid) {
            Beat beat = get_beat(dut.m_data, s.offset, s.width);
            if (s.waiting && beat != s.held) fail(name + " changes data while stalled");
            if (s.ready) {
                if (s.cycles.size() == s.expected)
                    fail(name + " has more beats than expected:" + progress(sources, sinks));
                s.beats.insert(s.beats.end(), beat.begin(), beat.end());
                s.cycles.push_back(cycle);
                moved = true;
            }
            s.held = beat;
        }
        s.waiting = valid && !s.ready;
    }
    put(dut.clk, 0, true);
    eval_model();
    cycle++;
    return moved;
}

static bool finished(const std::vector<Source>& sources, const std::vector<Sink>& sinks) {
    for (const Source& s : sources)
        if (s.taken < s.count) return false;
    for (const Sink& s : sinks)
        if (s.cycles.size() < s.expected) return false;
    return true;
}

int main(int argc, char** argv) {
    if (argc != 12) fail("wrong number of arguments");
    unsigned index = atoi(argv[1]);
    rng_state = strtoull(argv[2], nullptr, 10);
    double idle = atof(argv[3]), stall = atof(argv[4]);
    unsigned burst = atoi(argv[5]);
    bool lazy = atoi(argv[6]);
    uint64_t hold = strtoull(argv[7], nullptr, 10);
    long long reset_at = atoll(argv[8]), patience = atoll(argv[9]) + (long long)hold;
    std::vector<Dut> duts = open_model(1 + rng() % 0x7ffffffe);
    const Dut& dut = duts.at(index);

    std::vector<Source> sources;
    std::vector<Sink> sinks;
    FILE* in = fopen(argv[10], "rb");
    if (!in) fail("no input file");
    unsigned offset = 0;
    for (unsigned width : dut.in_widths) {
        Source s{width, offset, {}, read_u64(in), 0, false, {idle, burst}, {}};
        s.beats.resize(s.count * bytes_of(width));
        if (fread(s.beats.data(), 1, s.beats.size(), in) != s.beats.size()) fail("short input");
        sources.push_back(s);
        offset += width;
    }
    offset = 0;
    for (unsigned width : dut.out_widths) {
        sinks.push_back({width, offset, read_u64(in), false, false, {}, {stall, burst}, {}, {}});
        offset += width;
    }
    fclose(in);

    reset(dut, sources, sinks);
    if (reset_at >= 0) {
        for (long long i = 0; i < reset_at && !finished(sources, sinks); i++)
            step(dut, sources, sinks, lazy, hold);
        reset(dut, sources, sinks);
    }
    long long still = 0;
    while (!finished(sources, sinks)) {
        still = step(dut, sources, sinks, lazy, hold) ? 0 : still + 1;
        if (still >= patience)
            fail("no beat has moved for " + std::to_string(patience) + " cycles:" +
                 progress(sources, sinks));
    }
    for (int i = 0; i < 64; i++) step(dut, sources, sinks, lazy, hold);  // catches beats too many

    FILE* out = fopen(argv[11], "wb");
    if (!out) fail("cannot open the result file");
    for (Source& s : sources) write_u64s(out, s.cycles);
    for (Sink& s : sinks) {
        uint64_t count = s.cycles.size();
        write_all(out, &count, 8);
        write_all(out, s.beats.data(), s.beats.size());
        write_all(out, s.cycles.data(), 8 * count);
    }
    if (fclose(out)) fail("cannot write the result");
    close_model();
    return 0;
}
