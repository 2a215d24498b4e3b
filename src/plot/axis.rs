//! Ticks of a logarithmic axis: powers of ten over a wide range, round numbers over a narrow one.

/// A tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tick {
    /// log10 of its number.
    pub at: f64,
    /// Its number, as mantissa times ten to the exponent.
    mantissa: f64,
    exponent: i32,
    /// False for the small ticks in between.
    pub labeled: bool,
    /// True if all ticks of the axis can be written without a power of ten.
    plain: bool,
}

impl Tick {
    fn new(mantissa: f64, exponent: i32, labeled: bool) -> Tick {
        Tick { at: mantissa.log10() + f64::from(exponent), mantissa, exponent, labeled, plain: false }
    }

    /// Its number for a picture: `10⁻³`, `0.25`, `2×10⁶`.
    pub fn label(&self) -> String {
        let raised: String = self.exponent.to_string().chars().map(raised).collect();
        match self.plain() {
            Some(plain) => plain,
            None if self.mantissa == 1.0 => format!("10{raised}"),
            None => format!("{}×10{raised}", rounded(self.mantissa)),
        }
    }

    /// Its number in ASCII: `1e-3`, `0.25`, `2e6`.
    pub fn ascii_label(&self) -> String {
        self.plain().unwrap_or_else(|| format!("{}e{}", rounded(self.mantissa), self.exponent))
    }

    fn plain(&self) -> Option<String> {
        self.plain.then(|| rounded(self.mantissa * 10.0_f64.powi(self.exponent)))
    }
}

/// Rounds away digits that are rounding errors.
fn rounded(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn raised(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(c),
    }
}

/// Ticks between two logarithms; about `most` of them have a label.
pub(super) fn ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let mut ticks = placed(low, high, most);
    let plain = ticks.iter().filter(|tick| tick.labeled).all(|tick| (-2..=3).contains(&tick.exponent));
    ticks.iter_mut().for_each(|tick| tick.plain = plain);
    ticks
}

fn placed(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    let inside = |tick: &Tick| low <= tick.at && tick.at <= high;
    let exponents = low.floor() as i32..=last;
    if last - first >= 2 {
        let step = 1 + (last - first) / most.max(1) as i32;
        let of_decade = |exponent: i32| {
            let small = if step == 1 { 2..10 } else { 0..0 };
            let main = Tick::new(1.0, exponent, exponent.rem_euclid(step) == 0);
            std::iter::once(main).chain(small.map(move |mantissa| Tick::new(f64::from(mantissa), exponent, false)))
        };
        return exponents.flat_map(of_decade).filter(inside).collect();
    }
    let small = |exponent: i32| {
        (1..10).map(move |mantissa| Tick::new(f64::from(mantissa), exponent, matches!(mantissa, 1 | 2 | 5)))
    };
    let round: Vec<Tick> = exponents.flat_map(small).filter(inside).collect();
    if round.iter().filter(|tick| tick.labeled).count() >= 3 { round } else { even_ticks(low, high) }
}

/// Round numbers at equal distances, for a range so narrow that the logarithm is nearly linear.
fn even_ticks(low: f64, high: f64) -> Vec<Tick> {
    // In units of a power of ten, so that no number is out of range.
    let exponent = low.floor() as i32;
    let number = |log: f64| 10.0_f64.powf(log - f64::from(exponent));
    let (from, to) = (number(low), number(high));
    let rough = (to - from) / 4.0;
    let unit = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit).into_iter().find(|step| *step >= rough);
    let Some(step) = step.filter(|step| *step > 0.0) else { return Vec::new() };
    let count = (from / step - 1e-6).ceil() as i64..=(to / step + 1e-6).floor() as i64;
    count.map(|count| Tick::new(count as f64 * step, exponent, true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        ticks(low, high, 8).iter().filter(|tick| tick.labeled).map(Tick::label).collect()
    }

    #[test]
    fn wide_ranges_have_powers_of_ten() {
        assert_eq!(labels(-4.5, 1.2), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"]);
        assert_eq!(labels(-1.5, 2.2), ["0.1", "1", "10", "100"]);
        assert_eq!(labels(-300.5, -280.0).len(), 7);
        assert!(ticks(-4.5, 1.2, 8).len() > 40);
    }

    #[test]
    fn narrow_ranges_have_round_numbers() {
        assert_eq!(labels(0.1, 1.4), ["2", "5", "10", "20"]);
        assert_eq!(labels(3.0_f64.log10(), 3.3_f64.log10()), ["3", "3.1", "3.2", "3.3"]);
        assert_eq!(labels(9.0 + 3.0_f64.log10(), 9.0 + 3.3_f64.log10())[1], "3.1×10⁹");
        assert_eq!(ticks(9.0, 9.1, 8)[1].ascii_label(), "1.1e9");
    }
}
