//! Lines over two axes, drawn as SVG.
//!
//! The crate that draws sees positions only: scales and ticks are ours, because it has none for
//! percentiles. A line is interrupted where a value has no place on its axis.

use super::axis::{Axis, Scale};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::{
    BLACK, Cartesian2d, ChartBuilder, ChartContext, Color, DrawingAreaErrorKind, IntoDrawingArea,
    LineSeries, RGBColor, Ranged, SVGBackend, ShapeStyle, WHITE,
};
use std::io;
use std::ops::Range;

/// Small, so that labels can be read where a phone scales it down to its width.
const SIZE_PIXELS: (u32, u32) = (480, 320);
const LABELS_LEFT_PIXELS: u32 = 80;
const LABELS_BELOW_PIXELS: u32 = 50;
const MARGIN_PIXELS: u32 = 16;
/// The crate that draws makes letters of 18 points 14.5 pixels high.
const FONT: (&str, u32) = ("sans-serif", 18);

/// Points of a line up to this many are marked, so that a lone one is seen.
const MARKED_POINTS_MAX: usize = 64;

/// Colours that also differ for readers who cannot see red and green.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// Its title.
    pub(crate) title: &'static str,
    /// The axis below.
    pub(crate) x: AxisStyle,
    /// The axis to the left.
    pub(crate) y: AxisStyle,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

/// One axis before its values are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisStyle {
    /// The quantity on it.
    pub(crate) title: &'static str,
    /// How values are laid out.
    pub(crate) scale: Scale,
    /// A value as a text.
    pub(crate) label: fn(f64) -> String,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its name in the legend.
    pub(crate) name: &'static str,
    /// Values on both axes, in the order they are joined.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The colour of each series, in their order.
pub(crate) fn colours() -> impl Iterator<Item = RGBColor> {
    COLOURS.into_iter().cycle()
}

type DrawError = DrawingAreaErrorKind<io::Error>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

impl Plot {
    /// The plot as an `svg` element; nothing if no point has a place.
    ///
    /// # Errors
    /// Only if the crate that draws refuses a size or a coordinate.
    pub(crate) fn svg(&self) -> Result<Option<String>, DrawError> {
        let points = || self.series.iter().flat_map(|line| &line.points);
        let visible = || points().filter(|point| self.position(point).is_some());
        let x = Axis::over(visible().map(|point| point.0), self.x.scale, self.x.label);
        let y = Axis::over(visible().map(|point| point.1), self.y.scale, self.y.label);
        let (Some(x), Some(y)) = (x, y) else {
            return Ok(None);
        };
        let mut text = String::new();
        self.draw(&mut text, x, y)?;
        Ok(Some(text))
    }

    fn draw(&self, text: &mut String, x: Axis, y: Axis) -> Result<(), DrawError> {
        let area = SVGBackend::with_string(text, SIZE_PIXELS).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(MARGIN_PIXELS)
            .x_label_area_size(LABELS_BELOW_PIXELS)
            .y_label_area_size(LABELS_LEFT_PIXELS)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .bold_line_style(BLACK.mix(0.12))
            .label_style(FONT)
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .draw()?;
        for (line, colour) in self.series.iter().zip(colours()) {
            self.draw_line(&mut chart, line, colour)?;
        }
        area.present()
    }

    fn draw_line(
        &self,
        chart: &mut Chart<'_>,
        line: &Series,
        colour: RGBColor,
    ) -> Result<(), DrawError> {
        let is_marked = line.points.len() <= MARKED_POINTS_MAX;
        let positions: Vec<Option<(f64, f64)>> =
            line.points.iter().map(|at| self.position(at)).collect();
        let pieces = positions.split(Option::is_none);
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let style = ShapeStyle::from(colour).filled().stroke_width(2);
            let series = LineSeries::new(piece.iter().copied().flatten(), style)
                .point_size(if is_marked { 3 } else { 0 });
            chart.draw_series(series)?;
        }
        Ok(())
    }

    fn position(&self, point: &(f64, f64)) -> Option<(f64, f64)> {
        Some((
            self.x.scale.position(point.0)?,
            self.y.scale.position(point.1)?,
        ))
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, position: &f64, limit: (i32, i32)) -> i32 {
        let share = (position - self.from) / (self.to - self.from);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no light lines between the ticks.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| tick.position).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, position: &f64) -> String {
        self.label(*position)
    }
}

#[cfg(test)]
mod tests {
    use super::{AxisStyle, Plot, Scale, Series};

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        let side = |title, scale| AxisStyle {
            title,
            scale,
            label: |value| format!("<{value}>"),
        };
        Plot {
            title: "",
            x: side("below & so on", Scale::Linear),
            y: side("left", Scale::Logarithmic),
            series: vec![Series {
                name: "a line",
                points,
            }],
        }
    }

    #[test]
    fn a_line_is_drawn_with_its_axes() {
        let svg = plot(vec![(0.0, 1.0), (1.0, 10.0)]).svg().unwrap().unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        for text in ["below &amp; so on", "left", "&lt;0.4&gt;", "&lt;10&gt;"] {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
    }

    #[test]
    fn a_line_is_interrupted_where_a_value_has_no_position() {
        let drawn = |points| plot(points).svg().unwrap().unwrap();
        let lines = |svg: &str| svg.matches("stroke-width=\"2\" points=").count();
        let whole = drawn(vec![
            (0.0, 1.0),
            (1.0, 2.0),
            (2.0, 3.0),
            (3.0, 2.0),
            (4.0, 9.0),
        ]);
        let broken = drawn(vec![
            (0.0, 1.0),
            (1.0, 2.0),
            (2.0, 0.0),
            (3.0, 2.0),
            (4.0, 9.0),
        ]);
        assert_eq!(lines(&broken), lines(&whole) + 1, "{broken}");
    }

    #[test]
    fn a_plot_without_points_is_empty() {
        assert!(plot(Vec::new()).svg().unwrap().is_none());
        assert!(plot(vec![(1.0, 0.0)]).svg().unwrap().is_none());
    }
}
