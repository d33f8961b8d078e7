//! What is made of several measurements of one thing.

/// The one in the middle; of two, the mean.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    assert!(!values.is_empty(), "nothing was measured");
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// A whole number with its thousands apart.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 100.0]).to_string(), "3");
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]).to_string(), "3");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([7.0, 999.6, 54_321.0, 1_000_000.0].map(grouped), ["7", "1 000", "54 321", "1 000 000"]);
    }
}
