//! Panels with points, lines or bars over named places.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::numbers::grouped;
use crate::series::Spread;

const SIZE: (u32, u32) = (880, 480);
const PAPER: RGBColor = RGBColor(252, 252, 253);
const INK: RGBColor = RGBColor(30, 41, 59);
const RULE: RGBColor = RGBColor(203, 213, 225);
const FONT: &str = "sans-serif";
/// Half of a bar's width, where two places are 1 apart.
const HALF_BAR: f64 = 0.15;
/// What is drawn into a string cannot fail.
const DRAWN: &str = "a picture in memory";

/// Places on the horizontal axis, and what was found there.
pub(super) type Dots = Vec<(f64, Spread)>;

/// How dots are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Line(RGBColor),
    Dashed(RGBColor),
    Diamond(RGBColor),
    Bar(RGBColor),
}

/// A vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// Operations a second, from 0.
    Rate,
    /// Microseconds, from 0.
    Time,
    /// Microseconds, on a scale of powers.
    Powers,
}

/// An axis with the places at which it is labelled.
struct Scale {
    range: Range<f64>,
    labels: Vec<(f64, String)>,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        #[expect(clippy::cast_possible_truncation, reason = "it is a place on a picture")]
        let place = (part * f64::from(to - from)).round() as i32;
        from + place
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.labels.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        let label = self.labels.iter().find(|(place, _)| place.total_cmp(value).is_eq());
        label.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// Lines, points or bars.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: String,
    /// Names of 0, 1, …
    pub(super) places: Vec<String>,
    pub(super) y: &'static str,
    pub(super) axis: Axis,
    pub(super) marks: Vec<(String, Mark, Dots)>,
}

/// The panels side by side.
pub(super) fn svg(panels: &[Panel]) -> String {
    let mut svg = String::new();
    let paper = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    paper.fill(&PAPER).expect(DRAWN);
    for (panel, area) in panels.iter().zip(paper.split_evenly((1, panels.len()))) {
        panel.draw(&area);
    }
    paper.present().expect(DRAWN);
    drop(paper);
    svg
}

impl Axis {
    /// Where a value stands.
    fn place(self, value: f64) -> f64 {
        if self == Self::Powers { value.log10() } else { value }
    }

    fn label(self, place: f64) -> String {
        match self {
            Self::Rate => grouped(place),
            Self::Time => time(place),
            Self::Powers => time(10_f64.powf(place)),
        }
    }

    /// For these values and, above them, the legend.
    fn scale(self, values: &[f64]) -> Scale {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let (range, keys): (_, Vec<f64>) = if self == Self::Powers {
            let (low, high) = (lowest.log10() - 0.15, highest.log10());
            let powers = (-1..=9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
            (low..high + 0.45 * (high - low), powers.map(f64::log10).collect())
        } else {
            let step = step(highest);
            (0.0..1.35 * highest, (0..20).map(|number| f64::from(number) * step).collect())
        };
        let keys = keys.into_iter().filter(|key| range.contains(key));
        let labels = keys.map(|key| (key, self.label(key))).collect();
        Scale { range, labels }
    }
}

/// The distance of labels: the shortest of 1, 2, 5, 10, … with at most eight of them up to the highest.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest / 8.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    steps.into_iter().find(|step| highest / step <= 8.0).unwrap_or(10.0 * power)
}

/// Microseconds, in the unit in which they are short.
fn time(us: f64) -> String {
    let (value, unit) = match us {
        0.0 => return "0".into(),
        us if us >= 0.999e6 => (us / 1e6, "s"),
        us if us >= 0.999e3 => (us / 1e3, "ms"),
        us => (us, "µs"),
    };
    format!("{} {unit}", (value * 10.0).round() / 10.0)
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) {
        let spreads = self.marks.iter().flat_map(|(.., dots)| dots).map(|(_, spread)| spread);
        let values: Vec<f64> = spreads.flat_map(|spread| [spread.lowest, spread.highest]).collect();
        let vertical = self.axis.scale(&values);
        let low = vertical.range.start;
        let labels = self.places.iter().enumerate().map(|(place, name)| (place as f64, name.clone())).collect();
        let horizontal = Scale { range: -0.5..self.places.len() as f64 - 0.5, labels };
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 19).into_font().color(&INK))
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(78)
            .build_cartesian_2d(horizontal, vertical)
            .expect(DRAWN);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(RULE)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style((FONT, 14).into_font().color(&INK))
            .axis_desc_style((FONT, 15).into_font().color(&INK))
            .x_desc(&self.x)
            .y_desc(self.y)
            .draw()
            .expect(DRAWN);
        for (name, mark, dots) in &self.marks {
            let at = |place: f64, value: f64| (place, self.axis.place(value));
            let medians: Vec<_> = dots.iter().map(|(place, spread)| at(*place, spread.median)).collect();
            let (Mark::Line(color) | Mark::Dashed(color) | Mark::Diamond(color) | Mark::Bar(color)) = *mark;
            let stroke = color.stroke_width(2);
            let drawn = match mark {
                Mark::Line(_) => chart.draw_series(LineSeries::new(medians.clone(), stroke)).expect(DRAWN),
                Mark::Dashed(_) => {
                    chart.draw_series(DashedLineSeries::new(medians.clone(), 6, 4, stroke)).expect(DRAWN)
                }
                Mark::Diamond(_) => {
                    chart.draw_series(medians.iter().map(|at| EmptyElement::at(*at) + diamond(color))).expect(DRAWN)
                }
                Mark::Bar(_) => {
                    let bar = |(place, top): &(f64, f64)| {
                        Rectangle::new([(place - HALF_BAR, low), (place + HALF_BAR, *top)], color.mix(0.85).filled())
                    };
                    chart.draw_series(medians.iter().map(bar)).expect(DRAWN)
                }
            };
            let stroke = move |from: i32, to: i32| PathElement::new([(from, 0), (to, 0)], color.stroke_width(2));
            let drawn = drawn.label(name);
            match mark {
                Mark::Line(_) => drawn.legend(move |at| EmptyElement::at(at) + stroke(0, 26)),
                Mark::Dashed(_) => drawn.legend(move |at| EmptyElement::at(at) + stroke(0, 10) + stroke(16, 26)),
                Mark::Diamond(_) => drawn.legend(move |(x, y)| EmptyElement::at((x + 13, y)) + diamond(color)),
                Mark::Bar(_) => drawn
                    .legend(move |(x, y)| Rectangle::new([(x + 4, y - 6), (x + 22, y + 6)], color.mix(0.85).filled())),
            };
            let ends = dots.iter().map(|(place, spread)| {
                let [lowest, median, highest] =
                    [spread.lowest, spread.median, spread.highest].map(|value| self.axis.place(value));
                let color = if matches!(mark, Mark::Bar(_)) { INK } else { color };
                ErrorBar::new_vertical(*place, lowest, median, highest, color.filled(), 7)
            });
            chart.draw_series(ends).expect(DRAWN);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(PAPER.mix(0.9))
            .border_style(RULE)
            .label_font((FONT, 14).into_font().color(&INK))
            .margin(8)
            .legend_area_size(34)
            .draw()
            .expect(DRAWN);
    }
}

/// A corner's distance from the middle of a diamond.
const CORNER: i32 = 8;

fn diamond(color: RGBColor) -> Polygon<(i32, i32)> {
    Polygon::new([(0, -CORNER), (CORNER, 0), (0, CORNER), (-CORNER, 0)], color.filled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_at_round_values() {
        let labels = |axis: Axis, values: &[f64]| {
            axis.scale(values).labels.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(labels(Axis::Rate, &[900.0, 10_000.0]), "0, 2 000, 4 000, 6 000, 8 000, 10 000, 12 000");
        assert_eq!(labels(Axis::Time, &[900.0]), "0, 200 µs, 400 µs, 600 µs, 800 µs, 1 ms, 1.2 ms");
        assert_eq!(labels(Axis::Powers, &[90.0, 1_100.0]), "100 µs, 200 µs, 500 µs, 1 ms, 2 ms");
        assert_eq!([0.5, 999.96, 2_500.0, 3e6].map(time), ["0.5 µs", "1 ms", "2.5 ms", "3 s"]);
    }
}
