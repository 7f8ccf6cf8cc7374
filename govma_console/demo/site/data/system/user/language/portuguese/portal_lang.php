<?php
$lang = array(
    'noticias' => 'Notícias',
    'servicos' => 'Serviços',
    'fale_conosco' => 'Fale conosco',
);
