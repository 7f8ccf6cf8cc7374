// Envia a busca ao digitar Enter.
document.querySelectorAll('.busca input').forEach((campo) => {
  campo.addEventListener('keydown', (evento) => {
    if (evento.key === 'Enter') evento.target.form.submit()
  })
})
