//! SVG and PNG files of a [`Drawing`], both by `plotters`.
//!
//! `plotters` has whole pixels only. So an SVG is drawn ten times as large and displayed at its size. A PNG is drawn
//! four times as large and averaged down to twice the size, which also smooths all edges; its resolution is good for
//! print.

use std::sync::Once;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, register_font};

use super::canvas::{Anchor, Canvas, Drawing};
use super::color::Rgb;

/// DejaVu Sans, reduced to Latin, Greek and some symbols. No system font is needed, and a picture is the same
/// everywhere. Its license is in the same folder.
static FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");
/// The fonts that SVG readers try, in this order.
const FAMILIES: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

const SVG_SCALE: u32 = 10;
const PNG_SCALE: u32 = 2;
const OVERSAMPLING: u32 = 2;
/// Pixels per meter: 300 per inch.
const RESOLUTION: u32 = 11_811;
/// The bitmap backend centers a line of text including the space for descenders; SVG readers center small letters.
const PNG_DROP: f64 = 0.15;

/// Checks that this build can draw; it can.
///
/// # Errors
///
/// Never.
pub fn check_support() -> Result<(), String> {
    Ok(())
}

/// A drawing as SVG.
///
/// # Errors
///
/// A sentence, if `plotters` fails.
pub fn svg(drawing: &dyn Drawing) -> Result<String, String> {
    let (width, height) = drawing.size();
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (width * SVG_SCALE, height * SVG_SCALE)).into_drawing_area();
    Sheet::draw(drawing, area, SVG_SCALE, 0.0)?;
    let large = format!("<svg width=\"{}\" height=\"{}\"", width * SVG_SCALE, height * SVG_SCALE);
    Ok(text.replacen(&large, &format!("<svg width=\"{width}\" height=\"{height}\""), 1))
}

/// A drawing as PNG, at twice its size.
///
/// # Errors
///
/// A sentence, if `plotters` or the encoder fails.
pub fn png(drawing: &dyn Drawing) -> Result<Vec<u8>, String> {
    let (width, height) = drawing.size();
    let (width, height) = (width * PNG_SCALE, height * PNG_SCALE);
    let large = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![0; large.0 as usize * large.1 as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, large).into_drawing_area();
    Sheet::draw(drawing, area, PNG_SCALE * OVERSAMPLING, PNG_DROP)?;
    let pixels = averaged(&pixels, width as usize, height as usize);

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: RESOLUTION, yppu: RESOLUTION, unit: png::Unit::Meter }));
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|error| format!("cannot encode the PNG: {error}"))?;
    Ok(file)
}

/// Averages squares of `large` to an image of this size.
fn averaged(large: &[u8], width: usize, height: usize) -> Vec<u8> {
    let n = OVERSAMPLING as usize;
    let mut small = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let pixel =
                    |dx: usize, dy: usize| u32::from(large[((y * n + dy) * width * n + x * n + dx) * 3 + channel]);
                let sum: u32 = (0..n * n).map(|index| pixel(index % n, index / n)).sum();
                small.push((sum / (n * n) as u32) as u8);
            }
        }
    }
    small
}

struct Sheet<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    scale: f64,
    /// How far a text must be lowered to be centered on its point, relative to its height.
    drop: f64,
    /// The first error.
    error: Option<String>,
}

impl<B: DrawingBackend> Sheet<B> {
    fn draw(drawing: &dyn Drawing, area: DrawingArea<B, Shift>, scale: u32, drop: f64) -> Result<(), String> {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // If this fails, so does the first text, with a message.
            let _ = register_font(FAMILIES, FontStyle::Normal, FONT);
        });
        let mut sheet = Sheet { area, scale: f64::from(scale), drop, error: None };
        let filled = sheet.area.fill(&plotters::style::WHITE);
        sheet.note(filled);
        drawing.draw(&mut sheet);
        let presented = sheet.area.present();
        sheet.note(presented);
        match sheet.error {
            Some(error) => Err(format!("cannot draw the picture: {error}")),
            None => Ok(()),
        }
    }

    fn note<E: std::fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(error) = result {
            self.error.get_or_insert(error.to_string());
        }
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn pixels(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        points.iter().map(|&point| self.pixel(point)).collect()
    }

    fn style(&self, height: f64, color: Rgb, anchor: Anchor) -> TextStyle<'static> {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Center | Anchor::Upwards => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let turned = if anchor == Anchor::Upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let font = (FAMILIES, height * self.scale).into_font().transform(turned);
        TextStyle {
            color: rgb(color).to_backend_color(),
            pos: Pos::new(horizontal, VPos::Center),
            ..TextStyle::from(font)
        }
    }
}

fn rgb((red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

impl<B: DrawingBackend> Canvas for Sheet<B> {
    fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), color: Rgb) {
        let corners = [self.pixel(from), self.pixel(to)];
        let drawn = self.area.draw(&Rectangle::new(corners, rgb(color).filled()));
        self.note(drawn);
    }

    fn polygon(&mut self, points: &[(f64, f64)], color: Rgb) {
        let drawn = self.area.draw(&Polygon::new(self.pixels(points), rgb(color).filled()));
        self.note(drawn);
    }

    fn line(&mut self, points: &[(f64, f64)], width: f64, color: Rgb) {
        let width = (width * self.scale).round().max(1.0) as u32;
        let mut pixels = self.pixels(points);
        pixels.dedup();
        let drawn = self.area.draw(&PathElement::new(pixels, rgb(color).stroke_width(width)));
        self.note(drawn);
    }

    fn text(&mut self, text: &str, at: (f64, f64), height: f64, color: Rgb, anchor: Anchor) {
        let style = self.style(height, color, anchor);
        let at = match anchor {
            Anchor::Upwards => (at.0 + self.drop * height, at.1),
            _ => (at.0, at.1 + self.drop * height),
        };
        let drawn = self.area.draw(&Text::new(text.to_owned(), self.pixel(at), style));
        self.note(drawn);
    }

    fn text_width(&mut self, text: &str, height: f64) -> f64 {
        let style = self.style(height, super::color::BLACK, Anchor::Left);
        match self.area.estimate_text_size(text, &style) {
            Ok((width, _)) => f64::from(width) / self.scale,
            Err(error) => {
                self.note(Err(error));
                0.0
            }
        }
    }
}
