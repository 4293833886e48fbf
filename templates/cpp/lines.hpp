// Staircases as lines: level = clip(trunc(slope * x + offset), 0, steps), exactly.
//
// Nearly every trained staircase is one line (a norm), or two that meet at a knee (RPReLU). A line
// serves steps where it lies on or above level i + 1 at the first x of step i, and below it at the
// x before. What is left between these bounds for the offset is a concave function of the slope, so
// tangents bound its maximum and lead to it. A line counts only if more is left than floating point
// of type Real can be wrong by, in any order and with or without fused operations.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor.hpp"

template <class Real>
struct Line {
    Real slope, offset;
};

template <class Real>
struct Knee {
    Real at;  // the second line serves x from here on
    Line<Real> lines[2];
};

template <class Real>
class LineFit {
   public:
    // Thresholds ascend; x comes from lo to hi.
    LineFit(const std::vector<int64_t>& thresholds, int64_t lo, int64_t hi)
        : reach_(static_cast<double>(std::max(std::abs(lo), std::abs(hi)))) {
        for (const int64_t t : thresholds) t_.push_back(std::min(std::max(t, lo), hi + 1));
        const size_t n = t_.size();
        while (below_ < n && t_[below_] <= lo) ++below_;
        while (top_ < n && t_[top_] <= hi) ++top_;
        first_ = below_ ? below_ - 1 : 0;
        last_ = std::min(n, top_ + 1);
    }

    bool fit(Knee<Real>& found) const {
        found.at = std::numeric_limits<Real>::infinity();
        if (line(first_, top_, below_, last_, found.lines[0])) {
            found.lines[1] = found.lines[0];
            return true;
        }
        // The first line serves as many steps as it can.
        size_t good = below_, bad = top_;
        while (good + 1 < bad) {
            const size_t middle = (good + bad) / 2;
            (before(middle, found.lines[0]) ? good : bad) = middle;
        }
        const size_t knee = start_of(good);
        found.at = static_cast<Real>(t_[knee]);
        size_t next = knee;
        while (next < last_ && t_[next] == t_[knee]) ++next;
        return before(good, found.lines[0]) && line(knee, top_, next, last_, found.lines[1]);
    }

   private:
    std::vector<int64_t> t_;
    double reach_;
    size_t below_ = 0, top_ = 0;   // steps [below, top) lie within the range of x
    size_t first_ = 0, last_ = 0;  // and those that bound a line at its ends

    size_t start_of(size_t step) const {
        while (step > below_ && t_[step - 1] == t_[step]) --step;
        return step;
    }
    bool before(size_t step, Line<Real>& found) const {
        const size_t knee = start_of(step);
        return line(first_, knee, below_, std::min(knee + 1, last_), found);
    }

    double x(size_t step) const { return static_cast<double>(t_[step]); }

    // What a slope leaves for the offset, and how that changes with the slope.
    struct Gap {
        double slope, size, gradient, least;
    };
    Gap gap(double slope, size_t a, size_t b, size_t c, size_t d) const {
        double least = -HUGE_VAL, most = HUGE_VAL, at_least = 0, at_most = 0;
        for (size_t i = a; i < b; ++i) {
            const double bound = static_cast<double>(i + 1) - slope * x(i);
            if (bound > least) least = bound, at_least = x(i);
        }
        for (size_t i = c; i < d; ++i) {
            const double bound = static_cast<double>(i + 1) - slope * (x(i) - 1);
            if (bound < most) most = bound, at_most = x(i) - 1;
        }
        return {slope, most - least, at_least - at_most, least};
    }

    // A line on or above step i in [a, b) and below it before, for i in [c, d).
    bool line(size_t a, size_t b, size_t c, size_t d, Line<Real>& found) const {
        if (a >= b || c >= d) {  // no step, or nothing behind the last one
            found = {0, static_cast<Real>(a >= b ? c : b) + Real(0.5)};
            return true;
        }
        const double steps = static_cast<double>(t_.size());
        Gap left = gap(0, a, b, c, d), right = gap(2 * steps + 2, a, b, c, d);
        if (accepted(left, found) || accepted(right, found)) return true;
        for (int round = 0; round < 64 && left.gradient > 0 && right.gradient < 0; ++round) {
            const double lines = right.size - left.size + left.gradient * left.slope -
                                 right.gradient * right.slope;
            const double slope = static_cast<double>(
                static_cast<Real>(lines / (left.gradient - right.gradient)));  // where they meet
            const double bound = left.size + left.gradient * (slope - left.slope);
            if (slope <= left.slope || slope >= right.slope || bound <= 0) return false;
            const Gap now = gap(slope, a, b, c, d);
            if (accepted(now, found)) return true;
            (now.gradient > 0 ? left : right) = now;
        }
        return false;
    }

    // Half a unit is lost in each of: both products, both sums, and the offset's rounding.
    bool accepted(const Gap& gap, Line<Real>& found) const {
        const double unit = static_cast<double>(std::numeric_limits<Real>::epsilon());
        const double most = gap.slope * reach_ + static_cast<double>(t_.size()) + 1;
        const double wrong = 3 * unit * most;
        if (gap.size <= 2 * wrong) return false;
        found = {static_cast<Real>(gap.slope), static_cast<Real>(gap.least + gap.size / 2)};
        return true;
    }
};
