//! From a terminal's keys to those of the model.

use super::model::Press;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key means. A key with Alt means two: terminals send Escape followed by the key, so it can't be told from Escape
/// and another key pressed soon after.
pub fn presses(key: KeyEvent) -> impl Iterator<Item = Press> {
    let escaped = key.modifiers.contains(KeyModifiers::ALT) && key.kind != KeyEventKind::Release;
    escaped.then_some(Press::Escape).into_iter().chain(press(key))
}

fn press(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Press::Interrupt,
        KeyCode::Char('z') if control => Press::Suspend,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Press::Char(c),
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        KeyCode::Backspace => Press::Backspace,
        KeyCode::Tab | KeyCode::Right => Press::Tab,
        KeyCode::BackTab | KeyCode::Left => Press::BackTab,
        KeyCode::Up => Press::Up,
        KeyCode::Down => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home => Press::Home,
        KeyCode::End => Press::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: KeyCode, modifiers: KeyModifiers) -> Vec<Press> {
        presses(KeyEvent::new(code, modifiers)).collect()
    }

    #[test]
    fn escape_is_not_lost_before_another_key() {
        assert_eq!(of(KeyCode::Tab, KeyModifiers::ALT), [Press::Escape, Press::Tab]);
        assert_eq!(of(KeyCode::Tab, KeyModifiers::NONE), [Press::Tab]);
        assert_eq!(of(KeyCode::Char('c'), KeyModifiers::CONTROL), [Press::Interrupt]);
        assert_eq!(of(KeyCode::Char('q'), KeyModifiers::CONTROL), []);
        assert_eq!(of(KeyCode::F(1), KeyModifiers::NONE), []);
    }
}
