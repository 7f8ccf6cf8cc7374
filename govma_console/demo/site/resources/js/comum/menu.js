// Abre e fecha o menu em telas pequenas.
document.querySelectorAll('.menu-botao').forEach((botao) => {
  botao.addEventListener('click', () => {
    document.body.classList.toggle('menu-aberto')
  })
})
