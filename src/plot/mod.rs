//! Pictures: a spectrum as a log-log histogram with its fit, and a heat map of alpha by layer and role.
//!
//! A [`Figure`] describes what to show, in logarithms and without pixels. It is drawn as text for a terminal
//! ([`terminal`]) or as a picture (SVG, PNG). The colors are those of Okabe and Ito, which readers with any kind of
//! color vision can distinguish; bars, lines and marks also differ in brightness or dashes.

mod axis;
mod canvas;
mod color;
mod figure;
mod heat_map;
mod histogram;
mod picture;
#[cfg(feature = "plot")]
mod sheet;
pub mod terminal;
#[cfg(not(feature = "plot"))]
mod without_plot;

pub use canvas::{Anchor, Canvas, Drawing};
pub use color::Rgb;
pub use figure::{Bar, Curve, CurveKind, Figure, Mark, MarkKind};
pub use heat_map::HeatMap;
#[cfg(feature = "plot")]
pub use sheet::{check_support, png, svg};
#[cfg(not(feature = "plot"))]
pub use without_plot::{check_support, png, svg};
