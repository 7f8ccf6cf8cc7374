"""What all dialogs share: a title, a text that may come later, and buttons, with the focus on Cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, Static

from govma_console.tui.background import in_thread
from govma_core.text.language import tr

T = TypeVar("T")
_KEYS = tr("   Tab next  Enter press  Esc leave")
Result = dict[str, Any] | None
"""The answer: arguments of the operation or the change; None when the operator left the dialog."""


class Dialog(ModalScreen[Result]):
    """A question. Subclasses define `heading`, `verb`, the widgets below the text, and the result."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", tr("Cancel")),
        Binding("ctrl+c", "leave", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("up", "scroll_text(-1)", show=False),
        Binding("down", "scroll_text(1)", show=False),
        Binding("pageup", "scroll_text(-10)", show=False),
        Binding("pagedown", "scroll_text(10)", show=False),
        Binding("ctrl+home", "scroll_text(-1000000)", show=False),
        Binding("ctrl+end", "scroll_text(1000000)", show=False),
    ]

    heading = ""
    verb = tr("OK")
    leave = tr("Cancel")
    danger = False

    def compose(self) -> ComposeResult:
        """Make the title, the text, the options and the buttons."""
        with Vertical(id="dialog"):
            yield Static(Content.assemble(self.heading, (_KEYS, "not bold $muted")), id="dialog-title")
            with VerticalScroll(id="dialog-body", can_focus=False):
                yield Static("", id="dialog-text")
            options = self.options()
            # Borders, title and buttons take six lines; a long text must not push out what is to be answered.
            self._beside = 6 + sum(1 + option.styles.margin.height for option in options) + 2 * bool(options)
            yield from options
            with Horizontal(id="dialog-buttons"):
                yield Button(self.leave, id="leave", compact=True)
                yield Button(self.verb, id="do", variant="error" if self.danger else "primary", compact=True)

    def options(self) -> list[Widget]:
        """Return the widgets between the text and the buttons."""
        return []

    def on_mount(self) -> None:
        """Focus Cancel: Enter pressed too often does nothing."""
        self.query_one("#leave").focus()
        self.opened()

    def on_resize(self) -> None:
        """Leave the text the room that the rest does not need."""
        self.query_one("#dialog-body").styles.max_height = max(3, self.app.size.height * 9 // 10 - self._beside)

    def opened(self) -> None:
        """Show the text, or begin to work it out; called once the dialog is on the screen."""

    def say(self, content: Content | str, *, ready: bool) -> None:
        """Show the text; `ready` makes the verb available."""
        self.query_one("#dialog-text", Static).update(content)
        self.query_one("#do", Button).disabled = not ready

    def find_out(self, work: Callable[[], T], show: Callable[[T], None]) -> None:
        """Call `work` in a thread, then `show` here; an error of the core becomes the text. The latest call counts."""
        self._latest_call = call = object()

        def take(answer: T | None, problem: str) -> None:
            if self._latest_call is not call:
                return
            if problem:
                self.say(Content.assemble((problem, "$text-error")), ready=False)
            else:
                show(answer)  # type: ignore[arg-type]  # None only where `work` gives it

        in_thread(self, work, take)

    def forget(self) -> None:
        """Ignore the result of the work that find_out() began."""
        self._latest_call = object()

    def result(self) -> Result:
        """Return the answer that the button of the verb gives."""
        return {}

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer with the result, or leave."""
        event.stop()
        if event.button.id == "do":
            self.dismiss(self.result())
        elif event.button.id == "leave":
            self.dismiss(None)

    def action_scroll_text(self, lines: int) -> None:
        """Scroll a text that is longer than the dialog."""
        self.query_one("#dialog-body").scroll_relative(y=lines, animate=False)

    def action_leave(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


class AskDialog(Dialog):
    """Asks for a text; the answer holds it as `text`."""

    def __init__(self, heading: str, text: str, verb: str, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self.heading, self.verb = heading, verb
        self._text, self._value, self._placeholder = text, value, placeholder

    def options(self) -> list[Widget]:
        """Return the field."""
        return [Input(self._value, placeholder=self._placeholder, id="answer", compact=True)]

    def opened(self) -> None:
        """Show what the text is for; nothing can be lost here, so the field has the focus."""
        self.say(self._text, ready=True)
        self.query_one("#answer").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take Enter for the button."""
        event.stop()
        self.dismiss(self.result())

    def result(self) -> Result:
        """Return the text; None when it is empty."""
        text = self.query_one("#answer", Input).value.strip()
        return {"text": text} if text else None


class TypedDialog(Dialog):
    """A question whose verb becomes available when a word is typed into the field `#confirm`."""

    danger = True

    @property
    def word(self) -> str:
        """Return the word to type; '' while there is nothing to confirm."""
        return ""

    @property
    def advice(self) -> str:
        """Return the sentence for Enter after another word."""
        return ""

    @property
    def _is_confirmed(self) -> bool:
        return bool(self.word) and self.query_one("#confirm", Input).value.strip() == self.word

    def on_input_changed(self, event: Input.Changed) -> None:
        """Make the button available when the word is typed."""
        event.stop()
        self.query_one("#do", Button).disabled = not self._is_confirmed

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take Enter for the button when the word is typed."""
        event.stop()
        if self._is_confirmed:
            self.dismiss(self.result())
        else:
            self.notify(self.advice, severity="warning", markup=False)


class Toggle(Checkbox):
    """`[x]` or `[ ]`, and what it means."""

    def __init__(self, label: str, value: bool = False, *, id: str) -> None:
        super().__init__(label, value, id=id, compact=True)

    @property
    def _button(self) -> Content:
        return Content("[x]" if self.value else "[ ]")
