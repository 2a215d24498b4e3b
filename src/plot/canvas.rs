//! Canvas and drawings: what a picture is drawn on and what can be drawn, for any kind of file.

use super::color::Rgb;

/// Position of a text relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// To the right of the point, vertically centered.
    Left,
    /// Centered on the point.
    Center,
    /// To the left of the point, vertically centered.
    Right,
    /// Centered on the point, reading upward.
    Upwards,
}

/// A drawing surface. Coordinates are in pixels of the picture's size, from its upper left corner.
pub trait Canvas {
    /// Fills a rectangle.
    fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), color: Rgb);
    /// Fills a polygon.
    fn polygon(&mut self, points: &[(f64, f64)], color: Rgb);
    /// Draws a line of this width.
    fn line(&mut self, points: &[(f64, f64)], width: f64, color: Rgb);
    /// Writes a text of this height.
    fn text(&mut self, text: &str, at: (f64, f64), height: f64, color: Rgb, anchor: Anchor);
    /// The width of a text of this height.
    fn text_width(&mut self, text: &str, height: f64) -> f64;
}

/// Something that can be drawn.
pub trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    fn draw(&self, canvas: &mut dyn Canvas);
}
