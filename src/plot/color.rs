//! Colors: those of Okabe and Ito ("Color Universal Design", 2008) for objects, viridis for quantities.

/// Red, green and blue.
pub type Rgb = (u8, u8, u8);

pub(super) const BLACK: Rgb = (0, 0, 0);
pub(super) const GRAY: Rgb = (90, 90, 90);
pub(super) const LIGHT_GRAY: Rgb = (205, 205, 205);
pub(super) const WHITE: Rgb = (255, 255, 255);
pub(super) const BLUE: Rgb = (0, 114, 178);
pub(super) const SKY_BLUE: Rgb = (86, 180, 233);
pub(super) const GREEN: Rgb = (0, 158, 115);
pub(super) const ORANGE: Rgb = (230, 159, 0);
pub(super) const VERMILLION: Rgb = (213, 94, 0);
pub(super) const PURPLE: Rgb = (204, 121, 167);

/// The viridis color map at nine equal steps (Smith and van der Walt, CC0): uniform in brightness, from dark to light.
const VIRIDIS: [Rgb; 9] = [
    (68, 1, 84),
    (71, 45, 123),
    (59, 82, 139),
    (44, 114, 142),
    (33, 145, 140),
    (40, 174, 128),
    (94, 201, 98),
    (173, 220, 48),
    (253, 231, 37),
];

/// The color of a quantity at `position`, from 0 for the smallest to 1 for the largest.
pub(super) fn viridis(position: f64) -> Rgb {
    let place = position.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let step = (place as usize).min(VIRIDIS.len() - 2);
    let share = place - step as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (VIRIDIS[step], VIRIDIS[step + 1]);
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Black or white, whichever is easier to read on `background`.
pub(super) fn readable_on((red, green, blue): Rgb) -> Rgb {
    let brightness = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
    if brightness > 140.0 { BLACK } else { WHITE }
}
